/* Writing: text, files, replies and edits. What is half-written stays with its place until it is sent. */
import * as api from './api.js';
import { byId, element, toast } from './dom.js';
import { size } from './message.js';

const STORE = 'longshore-unsent';
/** Telegram's own bound on an album. */
const MOST_FILES = 10;

let texts = JSON.parse(sessionStorage.getItem(STORE) || '{}');
let place = null, files = [], target = null;

const key = ({ user, chat, thread }) => `${user} ${chat} ${thread}`;
const box = () => byId('text');

export const unsent = one => texts[key(one)] ?? '';

/** Goes to another place; nothing changes when it is the same. */
export function enter(to) {
  if (place && key(place) === key(to)) return;
  place = { ...to };
  files = [];
  target = null;
  box().value = unsent(place);
  fit();
  drawTarget();
  drawFiles();
}

/** What is answered or changed next: `{ kind: 'reply' or 'edit', message, quote }`, or null. */
export function aim(next) {
  target = next;
  if (next?.kind === 'edit') box().value = next.message.text;
  drawTarget();
  fit();
  box().focus();
}

export function typed(commands) {
  texts[key(place)] = target?.kind === 'edit' ? '' : box().value;
  sessionStorage.setItem(STORE, JSON.stringify(texts));
  fit();
  drawCommands(commands);
}

function fit() {
  box().style.height = 'auto';
  box().style.height = `${Math.min(box().scrollHeight, 200)}px`;
}

export function attach(more) {
  files.push(...more);
  if (files.length > MOST_FILES) toast(`An album has ${MOST_FILES} files at most.`);
  files = files.slice(0, MOST_FILES);
  drawFiles();
  box().focus();
}

function drawTarget() {
  const banner = byId('target');
  banner.hidden = !target;
  if (!target) return;
  const title = target.kind === 'edit' ? 'Edit message' : `Reply to ${target.message.name}`;
  banner.replaceChildren(
    element('span', { className: 'about' }, element('b', { textContent: title }),
      element('span', { textContent: (target.quote ?? target.message.text ?? '').slice(0, 160) || target.message.file?.name || '' })),
    element('button', { type: 'button', 'aria-label': 'Cancel', textContent: '×', onclick: cancel }));
}

export function cancel() {
  if (target?.kind === 'edit') box().value = unsent(place);
  target = null;
  drawTarget();
  fit();
}

function drawFiles() {
  const chip = (file, at) => element('li', {}, `${file.name} (${size(file.size)})`,
    element('button', { type: 'button', 'aria-label': `Leave out ${file.name}`, textContent: '×', onclick: () => { files.splice(at, 1); drawFiles(); } }));
  byId('pending').replaceChildren(...files.map(chip));
  byId('pending').hidden = !files.length;
}

/** The bot's commands that begin as what is written. */
function drawCommands(commands) {
  const text = box().value;
  const found = /^\/[a-z0-9_]*$/.test(text) ? commands.filter(({ command }) => `/${command}`.startsWith(text)) : [];
  const row = ({ command, description }) => element('button', { type: 'button', onclick: () => complete(command) },
    element('b', { textContent: `/${command}` }), element('span', { textContent: description }));
  byId('commands').replaceChildren(...found.map(row));
  byId('commands').hidden = !found.length;
}

function complete(command) {
  box().value = `/${command} `;
  box().focus();
  typed([]);
}

/** Tab takes the first command that is offered. */
export function completeFirst() {
  const first = byId('commands').querySelector('button');
  first?.click();
  return Boolean(first);
}

/** As the app decides it: pictures, films and sounds by their type, unless an album mixes them. */
function kinds(all) {
  const kind = ({ type, name }) => /^image\/(png|jpeg|webp)$/.test(type) ? 'photo' : type.startsWith('video/') ? 'video'
    : /\.og[ga]$|\.opus$/.test(name) ? 'voice' : type.startsWith('audio/') ? 'audio' : 'document';
  const each = all.map(kind);
  const isVisual = each.every(one => one === 'photo' || one === 'video');
  const isOne = each.every(one => one === each[0]) && each[0] !== 'voice';
  return all.length === 1 || isVisual || isOne ? each : each.map(() => 'document');
}

/** Sends what stands there. It is taken from the field only when it has gone out. */
export async function send() {
  const text = box().value.trim(), sent = files, at = place, aimed = target;
  if (!text && !sent.length) return;
  const reply_to = aimed?.kind === 'reply' ? aimed.message.message_id : undefined;
  if (aimed?.kind === 'edit') {
    if (text !== aimed.message.text) await api.edit(at, aimed.message.message_id, text);
  } else if (sent.length) {
    const album = sent.length > 1 ? `${Date.now()}` : undefined;
    const each = kinds(sent);
    for (const [n, file] of sent.entries()) {
      await api.upload(at, file, { kind: each[n], caption: n ? '' : text, album, reply_to });
    }
  } else {
    await api.say(at, { text, reply_to, quote: aimed?.quote });
  }
  files = [];
  target = null;
  box().value = '';
  typed([]);
  drawTarget();
  drawFiles();
}
