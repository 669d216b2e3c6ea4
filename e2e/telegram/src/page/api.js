/* The emulator's control API, as far as people need it. */

async function request(method, path, body, raw) {
  const init = { method };
  if (raw !== undefined) init.body = raw;
  else if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { 'content-type': 'application/json' };
  }
  const answer = await fetch(`_control${path}`, init);
  if (!answer.ok) throw new Error((await answer.text()).trim() || `the emulator answered ${answer.status}`);
  return answer.status === 204 ? null : answer.json();
}

const get = path => request('GET', path);
const post = (path, body) => request('POST', path, body);
const patch = (path, body) => request('PATCH', path, body);
const at = ({ chat }) => `/chats/${chat}`;
const message = ({ chat }, id) => `/chats/${chat}/messages/${id}`;

export const state = () => get('/state');
export const inbox = user => get(`/inbox?user=${user}`);
export const changed = revision => get(`/changes?after=${revision}&timeout_ms=25000`);
export const conversation = place => get(`${at(place)}/messages?thread=${place.thread}`);
export const markRead = (place, id) => request('PUT', `${at(place)}/read`, { user: place.user, thread: place.thread, message: id });

export const say = (place, words) => post(`${at(place)}/messages`, { user: place.user, thread: place.thread || undefined, ...words });
export const edit = (place, id, text) => patch(message(place, id), { user: place.user, text });
export const remove = (place, id) => request('DELETE', message(place, id));
export const react = (place, id, emoji) => post(`${message(place, id)}/react`, { user: place.user, emoji });
export const forward = (place, id, to) => post(`${message(place, id)}/forward`, { user: place.user, chat: to.chat, thread: to.thread || undefined });

/** Presses a button; what the person gets to see of it, or undefined when the bot does not answer. */
export async function press(place, id, label, data) {
  const pressed = await post(`${message(place, id)}/press`, { user: place.user, label, data });
  return (await get(`/callbacks/${pressed.id}?timeout_ms=10000`)).answer;
}

export function upload(place, file, { kind, caption, album, reply_to }) {
  const query = new URLSearchParams({ user: place.user, name: file.name, kind, mime: file.type || 'application/octet-stream' });
  const more = { thread: place.thread || undefined, caption: caption || undefined, album, reply_to };
  for (const [name, value] of Object.entries(more)) if (value !== undefined) query.set(name, value);
  return request('POST', `${at(place)}/files?${query}`, undefined, file);
}

export const addPerson = first_name => post('/users', { first_name });
export const addForum = (title, creator) => post('/chats', { kind: 'forum', title, creator });
export const addTopic = (place, name) => post(`${at(place)}/topics`, { user: place.user, name });
export const changeTopic = (place, change) => patch(`${at(place)}/topics/${place.thread || 1}`, { user: place.user, ...change });
export const changeChat = (place, change) => patch(at(place), { user: place.user, ...change });
