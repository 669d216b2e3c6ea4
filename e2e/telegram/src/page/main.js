/* The chat page: keeps what is shown in step with the emulator, and does what the person presses.
   The address holds who writes where: `#user/chat/thread`. */
import * as api from './api.js';
import * as compose from './compose.js';
import { ask, byId, choose, closeMenu, copy, element, menu, morphChildren, show, tell, toast, tried } from './dom.js';
import { conversations, hasTopics, places, titleOf } from './list.js';
import { draft, items } from './message.js';

const SIGNS = ['👍', '❤', '🔥', '🎉', '👀', '😢'];
/** Nearer to the end than this counts as reading along. */
const NEAR = 90;

let place = { user: 0, chat: 0, thread: 0 };
let world = null, inbox = [], shown = [], drawn = '', expiry = 0, isFollowing = true;

const chat = () => world?.chats.find(one => one.id === place.chat);
const messageOf = node => shown.find(one => one.message_id === Number(node.closest('[data-id]')?.dataset.id));
const isNarrow = () => matchMedia('(max-width: 44rem)').matches;

/* Where we are */

function readAddress() {
  const [user, at, thread] = location.hash.slice(1).split('/').map(Number);
  place = { user: user || 0, chat: at || 0, thread: thread || 0 };
  document.body.classList.toggle('open', Boolean(at));
}

function go(to) {
  place = { ...place, ...to };
  const address = `#${place.user}/${place.chat}/${place.thread}`;
  document.body.classList.toggle('open', Boolean(place.chat));
  if (location.hash !== address) location.hash = address;
  else tried(refresh);
}

/** Somebody who exists, in a place that exists. */
function settle() {
  if (!world.users.some(user => user.id === place.user)) place = { user: world.users[0]?.id ?? 0, chat: 0, thread: 0 };
  const all = places(world, place.user);
  const here = all.find(one => one.chat === place.chat && one.thread === place.thread);
  if (here) return;
  const moved = chat()?.upgraded_to;
  const instead = all.find(one => one.chat === (moved ?? place.chat)) ?? (isNarrow() ? null : all.find(one => one.parent) ?? all[0]);
  place = { ...place, chat: instead?.chat ?? 0, thread: instead?.thread ?? 0 };
}

/* Drawing */

async function refresh() {
  const next = await api.state();
  world = next;
  settle();
  const at = { ...place };
  const [rows, found] = await Promise.all([api.inbox(at.user), at.chat ? api.conversation(at) : null]);
  if (at.user !== place.user || at.chat !== place.chat || at.thread !== place.thread) return;
  inbox = rows;
  drawFrame(found);
  if (found) drawMessages(found);
}

function drawFrame(found) {
  const who = byId('who');
  const users = world.users.map(user => element('option', { value: user.id, textContent: user.first_name }));
  if (document.activeElement !== who) { who.replaceChildren(...users); who.value = place.user; }
  morphChildren(byId('places'), conversations(world, inbox, place, one => compose.unsent({ ...one, user: place.user })));
  const here = chat();
  const topic = here?.topics.find(one => one.thread === place.thread);
  const title = !here ? 'Longshore chat' : topic?.name ?? (hasTopics(world, here) && here.kind === 'forum' ? 'General' : titleOf(world, here));
  byId('title').textContent = title;
  document.title = here ? `${title} – Longshore chat` : 'Longshore chat';
  byId('doing').textContent = doing(found, here, topic);
  byId('doing').classList.toggle('active', Boolean(found?.action));
  byId('write').hidden = !here;
  byId('place-menu').hidden = !here;
  if (here) compose.enter(place);
}

function doing(found, here, topic) {
  if (!here) return world.users.length ? 'Choose a conversation.' : 'Nobody is here yet: add a person, then a forum.';
  if (found?.action) return `${world.bot.first_name} is ${found.action.replaceAll('_', ' ')} …`;
  if (topic?.closed) return 'This topic is closed.';
  const away = { left: 'is not in this group', kicked: 'was removed from this group', blocked: 'is blocked', stranger: 'waits for your first message' }[here.standing];
  if (away) return `${world.bot.first_name} ${away}`;
  return topic ? titleOf(world, here) : here.kind === 'private' ? 'bot' : 'group';
}

function drawMessages(found) {
  const where = JSON.stringify(place);
  const isNew = drawn !== where;
  if (isNew) isFollowing = true;
  shown = found.messages;
  const context = { user: place.user, byId: new Map(shown.map(message => [message.message_id, message])) };
  const fresh = element('ol', {}, items(shown, context), found.drafts.map(one => draft(one, world.bot)));
  if (isNew) byId('messages').replaceChildren(...fresh.childNodes);
  else morphChildren(byId('messages'), fresh);
  drawn = where;
  keepUp();
  /* Typing and drafts end by time alone, which is no change that we would hear of. */
  clearTimeout(expiry);
  if (found.action || found.drafts.length) expiry = setTimeout(() => tried(refresh), 2500);
}

function toEnd() {
  isFollowing = true;
  byId('scroll').scrollTop = byId('scroll').scrollHeight;
}

/** Whoever reads at the end stays there while things grow; whoever has scrolled up stays where that is. */
function keepUp() {
  if (isFollowing) toEnd();
  seen();
}

function onScroll() {
  const scroll = byId('scroll');
  isFollowing = scroll.scrollHeight - scroll.scrollTop - scroll.clientHeight < NEAR;
  seen();
}

function seen() {
  byId('down').hidden = isFollowing;
  const last = shown.at(-1)?.message_id ?? 0;
  const entry = inbox.find(one => one.chat === place.chat && one.thread === place.thread);
  if (isFollowing && entry && last > entry.read && !document.hidden) {
    entry.read = last;
    tried(() => api.markRead(place, last));
  }
}

/* What a person does to messages */

async function press(button) {
  const message = messageOf(button);
  const [row, column] = button.dataset.place.split(' ').map(Number);
  button.dataset.busy = 'true';
  try {
    const answer = await api.press(place, message.message_id, message.buttons[row][column], message.button_data[row][column]);
    if (!answer) toast(`${world.bot.first_name} did not answer.`);
    else if (answer.show_alert) await tell(world.bot.first_name, answer.text);
    else if (answer.text) toast(answer.text);
  } finally {
    delete button.dataset.busy;
  }
}

function jump(button) {
  const target = byId('messages').querySelector(`[data-id="${CSS.escape(button.dataset.to)}"]`);
  if (!target) return toast('That message is not here.');
  target.scrollIntoView({ block: 'center', behavior: 'smooth' });
  target.dataset.flash = 'true';
  setTimeout(() => delete target.dataset.flash, 1600);
}

async function react(message, sign) {
  const own = message.reactions[place.user] ?? [];
  await api.react(place, message.message_id, own.includes(sign) ? '' : sign);
}

async function forward(message) {
  const options = places(world, place.user).map(one => [one.parent ? `${one.parent}: ${one.title}` : one.title, one]);
  const to = await choose('Forward to', options);
  if (!to) return;
  await api.forward(place, message.message_id, to);
  go({ chat: to.chat, thread: to.thread });
}

/** The selected part of a message, for a quote. */
function selected(node) {
  const selection = getSelection();
  const text = selection.toString().trim();
  return text && node.contains(selection.anchorNode) && node.contains(selection.focusNode) ? text : undefined;
}

function actions(button) {
  const node = button.closest('[data-id]'), message = messageOf(button), own = message.user === place.user;
  const quote = selected(node);
  menu(button, [
    SIGNS.map(sign => [sign, () => react(message, sign)]),
    ['Reply', () => compose.aim({ kind: 'reply', message })],
    quote && message.text.includes(quote) && ['Quote selection', () => compose.aim({ kind: 'reply', message, quote })],
    message.text && ['Copy text', () => copy(message.text).then(() => toast('Copied.'))],
    ['Forward', () => forward(message)],
    own && message.text && ['Edit', () => compose.aim({ kind: 'edit', message })],
    own && ['Delete', () => api.remove(place, message.message_id)],
  ]);
}

function placeMenu(button) {
  const here = chat(), topic = here.topics.find(one => one.thread === place.thread);
  const standing = next => () => api.changeChat(place, { standing: next });
  const isAway = here.standing === 'kicked' || here.standing === 'left';
  menu(button, [
    hasTopics(world, here) && ['New topic', () => newTopic(here.id)],
    topic && ['Rename topic', () => rename(topic)],
    topic && [topic.closed ? 'Open topic again' : 'Close topic', () => api.changeTopic(place, { closed: !topic.closed })],
    topic && ['Delete topic', () => api.changeTopic(place, { deleted: true })],
    here.kind === 'private' && [here.standing === 'blocked' ? 'Unblock the bot' : 'Block the bot', standing(here.standing === 'blocked' ? 'member' : 'blocked')],
    here.kind !== 'private' && [isAway ? 'Add the bot' : 'Remove the bot', standing(isAway ? 'member' : 'kicked')],
  ]);
}

async function rename(topic) {
  const name = await ask('New name of the topic', topic.name);
  if (name) await api.changeTopic(place, { name });
}

async function newTopic(at) {
  const name = await ask('Name of the new topic');
  if (name) go({ chat: at, thread: (await api.addTopic({ ...place, chat: at }, name)).message_id });
}

async function newPerson() {
  const name = await ask('First name');
  if (name) go({ user: (await api.addPerson(name)).id, chat: 0, thread: 0 });
}

async function newForum() {
  const title = await ask('Title of the forum');
  if (title) go({ chat: (await api.addForum(title, place.user)).id, thread: 0 });
}

const ACTS = {
  press, jump, actions,
  react: button => react(messageOf(button), button.dataset.sign),
  open: button => go({ chat: Number(button.dataset.chat), thread: Number(button.dataset.thread) }),
  'add-topic': button => newTopic(Number(button.dataset.chat)),
  photo: button => show(button.querySelector('img').src, button.querySelector('img').alt),
  unfold: button => { const quote = button.parentNode; quote.dataset.open = quote.dataset.open === 'true' ? 'false' : 'true'; },
  'copy-code': async button => {
    await copy(button.closest('figure').querySelector('code').textContent);
    toast('Copied.');
  },
};

/* Events. What is in the lists changes all the time, so presses are caught here. */

const commands = () => Object.entries(world?.commands ?? {}).find(([scope]) => scope.includes('default'))?.[1] ?? [];

document.addEventListener('click', event => {
  if (!event.target.closest('#menu')) closeMenu();
  const button = event.target.closest('[data-act]');
  if (button) tried(() => ACTS[button.dataset.act](button));
});
document.addEventListener('visibilitychange', seen);
addEventListener('hashchange', () => { readAddress(); tried(refresh); });
byId('scroll').addEventListener('scroll', onScroll);
/* Pictures that have loaded, a window that has changed: the end is elsewhere then. */
new ResizeObserver(keepUp).observe(byId('messages'));
new ResizeObserver(keepUp).observe(byId('scroll'));
byId('down').onclick = toEnd;
byId('back').onclick = () => go({ chat: 0, thread: 0 });
byId('place-menu').onclick = event => { event.stopPropagation(); placeMenu(event.currentTarget); };
byId('add').onclick = event => {
  event.stopPropagation();
  menu(event.currentTarget, [['New person', newPerson], place.user && ['New forum', newForum]]);
};
byId('who').onchange = event => go({ user: Number(event.target.value), ...(chat()?.kind === 'private' && { chat: 0, thread: 0 }) });
byId('theme').onclick = () => {
  const isDark = getComputedStyle(document.documentElement).colorScheme === 'dark';
  localStorage.setItem('longshore-theme', isDark ? 'light' : 'dark');
  theme();
};

const submit = () => tried(async () => { await compose.send(); toEnd(); });
byId('write').onsubmit = event => { event.preventDefault(); submit(); };
byId('text').oninput = () => compose.typed(commands());
byId('text').onkeydown = event => {
  if (event.isComposing) return;
  if (event.key === 'Enter' && !event.shiftKey) { event.preventDefault(); submit(); }
  if (event.key === 'Escape') compose.cancel();
  if (event.key === 'Tab' && !event.shiftKey && compose.completeFirst()) event.preventDefault();
  if (event.key === 'ArrowUp' && !byId('text').value) {
    const last = shown.findLast(message => message.user === place.user && message.text);
    if (last) { event.preventDefault(); compose.aim({ kind: 'edit', message: last }); }
  }
};
byId('attach').onclick = () => byId('file').click();
byId('file').onchange = event => { compose.attach([...event.target.files]); event.target.value = ''; };
byId('text').onpaste = event => { if (event.clipboardData.files.length) { event.preventDefault(); compose.attach([...event.clipboardData.files]); } };
byId('scroll').ondragover = event => event.preventDefault();
byId('scroll').ondrop = event => { event.preventDefault(); compose.attach([...event.dataTransfer.files]); };

function theme() {
  const wanted = localStorage.getItem('longshore-theme');
  if (wanted) document.documentElement.dataset.theme = wanted;
}

/** One long poll; a server that is lost is tried again. */
async function follow() {
  for (;;) {
    try {
      if (!world) await refresh();
      const { revision } = await api.changed(world.revision);
      if (revision !== world.revision) await refresh();
    } catch {
      byId('doing').textContent = 'No connection; trying again …';
      world = null;
      await new Promise(done => setTimeout(done, 1500));
    }
  }
}

theme();
readAddress();
follow();
