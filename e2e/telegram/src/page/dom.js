/* Small tools for the document: making elements, updating them in place, menus, questions and short notices.
   Text goes in as text nodes only; nothing here reads HTML. */

/** Attributes that hold what the person has done to an element; an update leaves them alone. */
const KEPT = new Set(['data-busy', 'data-open', 'data-flash']);

export const byId = id => document.getElementById(id);

/** An element; properties as in `{ className, textContent }`, attributes with a dash or in `role` as attributes. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.includes('-') || name === 'role' || !(name in made)) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat().filter(child => child !== null && child !== undefined && child !== false));
  return made;
}

/** Makes `old` look like `fresh` by changing as little as possible, so that selections, players and scroll positions stay. */
export function morph(old, fresh) {
  for (const name of old.getAttributeNames()) {
    if (!KEPT.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const name of fresh.getAttributeNames()) {
    if (old.getAttribute(name) !== fresh.getAttribute(name)) old.setAttribute(name, fresh.getAttribute(name));
  }
  morphChildren(old, fresh);
}

/** The same for the children alone. Those with `data-key` are found again wherever they are. */
export function morphChildren(old, fresh) {
  const keyed = new Map([...old.children].filter(child => child.dataset.key).map(child => [child.dataset.key, child]));
  let at = old.firstChild;
  for (const next of [...fresh.childNodes]) {
    const key = next.dataset?.key;
    const same = key ? keyed.get(key) : at && !at.dataset?.key && alike(at, next) ? at : null;
    if (!same) {
      old.insertBefore(next, at);
      continue;
    }
    if (same === at) at = at.nextSibling;
    else old.insertBefore(same, at);
    if (same.nodeType === Node.TEXT_NODE) morphText(same, next);
    else morph(same, next);
  }
  while (at) {
    const gone = at;
    at = at.nextSibling;
    gone.remove();
  }
}

const alike = (one, other) => one.nodeType === other.nodeType && one.nodeName === other.nodeName;

/** Text that only grows is appended to, which keeps a selection in it. */
function morphText(old, fresh) {
  if (old.data === fresh.data) return;
  if (fresh.data.startsWith(old.data)) old.appendData(fresh.data.slice(old.data.length));
  else old.data = fresh.data;
}

let toastTimer = 0;

/** A short notice that goes by itself. */
export function toast(text) {
  byId('toast').textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { byId('toast').textContent = ''; }, 4000);
}

/** Runs an action of the person; what goes wrong is told. */
export const tried = action => Promise.resolve().then(action).catch(error => toast(error.message));

/** A question with one line to fill in; the answer, or null. */
export function ask(title, value = '') {
  const input = element('input', { type: 'text', value, 'aria-label': title });
  return dialog(title, [input], ['Cancel', 'OK'], () => input.value.trim());
}

/** Something to be confirmed by pressing OK. */
export const tell = (title, text) => dialog(title, [element('p', { textContent: text })], ['OK'], () => true);

/** A choice between labels; the chosen value, or null. */
export function choose(title, options) {
  return new Promise(resolve => {
    const list = options.map(([label, value]) => element('button', { type: 'button', textContent: label, onclick: () => { resolve(value); box.close(); } }));
    const box = open(title, [element('div', { className: 'choices' }, list)], ['Cancel'], () => resolve(null));
  });
}

/** A picture in full size. */
export function show(src, name) {
  const box = open(name, [element('img', { src, alt: name })], ['Close'], () => {});
  box.classList.add('wide');
}

function dialog(title, content, labels, answer) {
  return new Promise(resolve => {
    open(title, content, labels, value => resolve(value === 'OK' ? answer() || null : null));
  });
}

function open(title, content, labels, closed) {
  const box = element('dialog', { 'aria-label': title });
  const buttons = labels.map(label => element('button', { value: label, textContent: label, className: label === 'OK' ? 'main' : '' }));
  box.append(element('form', { method: 'dialog' }, element('h2', { textContent: title }), content, element('div', { className: 'row' }, buttons)));
  /* Enter in the field means OK, not the first button. */
  box.onkeydown = event => {
    if (event.key === 'Enter' && event.target.tagName === 'INPUT') { event.preventDefault(); box.close('OK'); }
  };
  box.onclose = () => { box.remove(); closed(box.returnValue); };
  document.body.append(box);
  box.showModal();
  return box;
}

/** A menu at an element: rows of `[label, action]`; an array of rows with one sign each is drawn as one line. */
export function menu(anchor, rows) {
  closeMenu();
  const entry = ([label, action]) => element('button', { role: 'menuitem', textContent: label, onclick: () => { closeMenu(); tried(action); } });
  const line = row => Array.isArray(row[0]) ? element('div', { className: 'signs' }, row.map(entry)) : entry(row);
  const box = element('div', { id: 'menu', role: 'menu' }, rows.filter(Boolean).map(line));
  document.body.append(box);
  const at = anchor.getBoundingClientRect();
  const left = Math.min(at.left, innerWidth - box.offsetWidth - 8);
  const below = at.bottom + 4 + box.offsetHeight < innerHeight;
  box.style.left = `${Math.max(8, left)}px`;
  box.style.top = `${below ? at.bottom + 4 : Math.max(8, at.top - box.offsetHeight - 4)}px`;
  box.querySelector('button')?.focus();
  box.onkeydown = event => {
    const all = [...box.querySelectorAll('button')], here = all.indexOf(document.activeElement);
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    if (step) { event.preventDefault(); all[(here + step + all.length) % all.length].focus(); }
    if (event.key === 'Escape') { closeMenu(); anchor.focus(); }
  };
}

export const closeMenu = () => byId('menu')?.remove();

/** Puts text on the clipboard, also where the page has no right to by itself. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = element('textarea', { value: text });
    document.body.append(field);
    field.select();
    document.execCommand('copy');
    field.remove();
  }
}
