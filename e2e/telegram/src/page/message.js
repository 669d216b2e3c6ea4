/* Messages as bubbles. Draws only; what a press does is up to main.js, which finds out by `data-act`. */
import { element } from './dom.js';
import { formatted } from './text.js';

const SERVICE = {
  forum_topic_created: what => `created the topic “${what.name}”`,
  forum_topic_edited: what => what.name ? `renamed the topic to “${what.name}”` : 'changed the topic',
  forum_topic_closed: () => 'closed the topic',
  forum_topic_reopened: () => 'opened the topic again',
  migrate_to_chat_id: () => 'made a supergroup of this group',
  migrate_from_chat_id: () => 'made a supergroup of a group',
};

export const time = ms => new Date(ms).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
const day = ms => new Date(ms).toLocaleDateString('en-GB', { weekday: 'long', day: 'numeric', month: 'long' });

/** A colour that stays with a person. */
export const hue = id => (Math.abs(id) * 137) % 360;

export function size(bytes) {
  if (bytes < 1000) return `${bytes} bytes`;
  const [value, unit] = bytes < 1e6 ? [bytes / 1e3, 'kB'] : [bytes / 1e6, 'MB'];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** All messages of a conversation as list items, with days between them. Messages of one album become one item. */
export function items(messages, context) {
  const out = [];
  let previous = null;
  for (const group of albums(messages)) {
    const [first] = group;
    if (!previous || day(previous.sent_ms) !== day(first.sent_ms)) {
      out.push(element('li', { className: 'day', 'data-key': `day ${day(first.sent_ms)}`, textContent: day(first.sent_ms) }));
    }
    const follows = previous && !previous.service && previous.user === first.user && first.sent_ms - previous.sent_ms < 300_000;
    out.push(first.service ? service(first) : bubble(group, context, follows));
    previous = group.at(-1);
  }
  return out;
}

function albums(messages) {
  const groups = [];
  for (const message of messages) {
    const last = groups.at(-1);
    if (message.album && last?.[0].album === message.album && last[0].user === message.user) last.push(message);
    else groups.push([message]);
  }
  return groups;
}

function service(message) {
  const [name, what] = message.service;
  const text = `${message.name} ${SERVICE[name]?.(what) ?? name.replaceAll('_', ' ')}`;
  return element('li', { className: 'service', 'data-key': `m${message.message_id}`, textContent: text });
}

function bubble(group, context, follows) {
  const [message] = group;
  const own = message.user === context.user;
  const caption = group.find(part => part.text) ?? message;
  const name = element('div', { className: 'name', textContent: message.name, style: `--hue: ${hue(message.user)}` });
  const box = element('article', { className: 'bubble', 'aria-label': `${message.name}, ${time(message.sent_ms)}` },
    follows || own ? null : name,
    message.forwarded_from ? element('div', { className: 'origin', textContent: `Forwarded from ${message.forwarded_from}` }) : null,
    reply(message, context),
    files(group),
    caption.text ? element('div', { className: 'text', dir: 'auto' }, formatted(caption.text, caption.entities)) : null,
    foot(message));
  return element('li', {
    className: `message${own ? ' own' : ''}${follows ? ' follows' : ''}`,
    'data-key': `m${message.message_id}`, 'data-id': message.message_id,
  }, avatar(message, own, follows), element('div', { className: 'column' }, box, keyboard(message)), actions());
}

function avatar(message, own, follows) {
  if (own) return null;
  const letter = follows ? '' : [...message.name][0] ?? '?';
  return element('span', { className: follows ? 'avatar gone' : 'avatar', 'aria-hidden': 'true', style: `--hue: ${hue(message.user)}`, textContent: letter });
}

const actions = () => element('button', { type: 'button', className: 'more', 'data-act': 'actions', 'aria-label': 'Actions for this message', 'aria-haspopup': 'menu', textContent: '⋯' });

function reply(message, { byId }) {
  if (!message.reply_to && !message.quote) return null;
  const replied = byId.get(message.reply_to);
  const said = message.quote ?? (replied ? replied.text || replied.file?.name || '' : 'A message that is gone');
  return element('button', { type: 'button', className: 'reply', 'data-act': 'jump', 'data-to': message.reply_to ?? '', 'aria-label': 'Go to the message replied to' },
    element('b', { textContent: replied?.name ?? 'Reply' }),
    element('span', { className: message.quote ? 'quote' : '', textContent: said.slice(0, 200) }));
}

function files(group) {
  const parts = group.filter(message => message.file);
  if (!parts.length) return null;
  const isGrid = parts.length > 1 && parts.every(({ file }) => file.kind === 'photo' || file.kind === 'video');
  return element('div', { className: isGrid ? 'files grid' : 'files' }, parts.map(({ file }) => shown(file)));
}

function shown(file) {
  const src = file.path.slice(1);
  switch (file.kind) {
    case 'photo':
      return element('button', { type: 'button', className: 'photo', 'data-act': 'photo', 'aria-label': `Open ${file.name}` },
        element('img', { src, alt: file.name }));
    case 'voice': case 'audio':
      return element('div', { className: 'sound' },
        element('span', { textContent: file.kind === 'voice' ? 'Voice message' : file.name }),
        element('audio', { src, controls: true, preload: 'metadata', 'aria-label': file.name }));
    case 'video': case 'video_note': case 'animation':
      return element('video', { src, controls: true, preload: 'metadata', 'aria-label': file.name });
  }
  const extension = file.name.includes('.') ? file.name.split('.').pop().slice(0, 4) : 'file';
  return element('a', { className: 'document', href: src, download: file.name, 'aria-label': `Download ${file.name}` },
    element('span', { className: 'kind', 'aria-hidden': 'true', textContent: extension }),
    element('span', { className: 'about' }, element('b', { textContent: file.name }), element('small', { textContent: size(file.size) })));
}

function foot(message) {
  const counts = new Map();
  for (const [user, signs] of Object.entries(message.reactions)) {
    for (const sign of signs) counts.set(sign, [...(counts.get(sign) ?? []), Number(user)]);
  }
  const chips = [...counts].map(([sign, users]) => element('button', {
    type: 'button', className: 'chip', 'data-act': 'react', 'data-sign': sign, 'aria-label': `Reaction ${sign}, ${users.length}`,
    textContent: users.length > 1 ? `${sign} ${users.length}` : sign,
  }));
  const notes = [message.pinned && 'pinned', message.edits && message.edited_ms && 'edited', time(message.sent_ms)].filter(Boolean);
  return element('div', { className: 'foot' },
    element('span', { className: 'chips' }, chips),
    element('time', { dateTime: new Date(message.sent_ms).toISOString(), textContent: notes.join(' · ') }));
}

function keyboard(message) {
  if (!message.buttons.length) return null;
  const button = (label, row, column) => {
    const url = message.button_urls[row]?.[column];
    if (url) return element('a', { className: 'key', href: url, target: '_blank', rel: 'noreferrer', textContent: `${label} ↗` });
    return element('button', { type: 'button', className: 'key', 'data-act': 'press', 'data-place': `${row} ${column}`, textContent: label });
  };
  const rows = message.buttons.map((labels, row) => element('div', { className: 'keys' }, labels.map((label, column) => button(label, row, column))));
  return element('div', { className: 'keyboard', role: 'group', 'aria-label': 'Buttons' }, rows);
}

/** A text that the bot is streaming. */
export function draft({ id, text, entities }, bot) {
  const words = element('div', { className: 'text', dir: 'auto' }, text ? formatted(text, entities) : 'Thinking …');
  return element('li', { className: 'message streaming', 'data-key': `draft${id}` },
    element('span', { className: 'avatar', 'aria-hidden': 'true', style: `--hue: ${hue(bot.id)}`, textContent: [...bot.first_name][0] }),
    element('div', { className: 'column' }, element('article', { className: 'bubble', 'aria-label': `${bot.first_name} is writing` }, words)));
}
