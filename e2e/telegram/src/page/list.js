/* The list of conversations: private chat, groups, and the topics of forums, with what was said last and what is unread. */
import { element } from './dom.js';
import { hue, time } from './message.js';

/** Chats that a person sees: all groups, and the own private one. */
export const chatsOf = (world, user) => world.chats.filter(chat => !chat.upgraded_to && (chat.kind !== 'private' || chat.id === user));

export const hasTopics = (world, chat) => chat.kind === 'forum' || chat.kind === 'private' && world.bot.has_topics_enabled;

export const titleOf = (world, chat) => chat.kind === 'private' ? world.bot.first_name : chat.title;

/** All places of a person, as `{ chat, thread, title, parent, closed }`. */
export function places(world, user) {
  return chatsOf(world, user).flatMap(chat => {
    const title = titleOf(world, chat);
    if (!hasTopics(world, chat)) return [{ chat: chat.id, thread: 0, title, parent: null }];
    const topics = chat.topics.filter(topic => !topic.deleted)
      .map(({ thread, name, closed }) => ({ chat: chat.id, thread, title: name, parent: title, closed }));
    return [{ chat: chat.id, thread: 0, title: chat.kind === 'private' ? 'All messages' : 'General', parent: title }, ...topics];
  });
}

/** The list, anew. `unsent` tells what stands half-written in a place. */
export function conversations(world, inbox, place, unsent) {
  const known = new Map(inbox.map(entry => [`${entry.chat} ${entry.thread}`, entry]));
  const out = document.createDocumentFragment();
  for (const chat of chatsOf(world, place.user)) {
    const title = titleOf(world, chat);
    const rows = places(world, place.user).filter(one => one.chat === chat.id);
    if (hasTopics(world, chat)) {
      out.append(element('div', { className: 'group', 'data-key': `g${chat.id}` },
        element('h2', { textContent: title }),
        element('button', { type: 'button', 'data-act': 'add-topic', 'data-chat': chat.id, 'aria-label': `New topic in ${title}`, textContent: '+' })));
    }
    const activity = one => known.get(`${one.chat} ${one.thread}`)?.last?.sent_ms ?? 0;
    rows.sort((one, other) => activity(other) - activity(one));
    out.append(...rows.map(one => row(one, known.get(`${one.chat} ${one.thread}`), place, unsent(one))));
  }
  return out;
}

function row(one, entry, place, unsent) {
  const isHere = one.chat === place.chat && one.thread === place.thread;
  const unread = isHere ? 0 : entry?.unread ?? 0;
  const said = unsent ? element('span', { className: 'preview' }, element('i', { textContent: 'Draft: ' }), unsent)
    : element('span', { className: 'preview', textContent: entry?.last ? `${entry.last.name}: ${entry.last.text}` : 'Nothing yet' });
  return element('button', {
    type: 'button', className: 'place', 'data-act': 'open', 'data-key': `p${one.chat} ${one.thread}`,
    'data-chat': one.chat, 'data-thread': one.thread, 'aria-current': isHere ? 'true' : undefined,
    'aria-label': unread ? `${one.title}, ${unread} unread` : one.title,
  },
    element('span', { className: 'avatar', 'aria-hidden': 'true', style: `--hue: ${hue(one.thread || one.chat)}`, textContent: one.parent ? '#' : [...one.title][0] }),
    element('span', { className: 'about' },
      element('span', { className: 'line' },
        element('b', { textContent: one.closed ? `🔒 ${one.title}` : one.title }),
        element('time', { textContent: entry?.last ? time(entry.last.sent_ms) : '' })),
      element('span', { className: 'line' }, said,
        unread ? element('span', { className: 'badge', textContent: unread > 99 ? '99+' : unread }) : null)));
}
