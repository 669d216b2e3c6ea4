/* Formatted text: entities become elements. Offsets are UTF-16, as are JavaScript's. */
import { element } from './dom.js';

const TAGS = { bold: 'strong', italic: 'em', underline: 'u', strikethrough: 's', code: 'code', spoiler: 'span' };
const MARKED = new Set(['bot_command', 'mention', 'hashtag', 'cashtag', 'text_mention']);
const BLOCKS = new Set(['pre', 'blockquote', 'expandable_blockquote']);
/** A quote that may be folded is, when it is longer than this. */
const FOLDED_LINES = 3, FOLDED_LENGTH = 160;

/** A fragment with the text from `from` to `to`. Entities nest; one that crosses another is left out. */
export function formatted(text, entities, from = 0, to = text.length) {
  const out = document.createDocumentFragment();
  let at = from;
  let rest = entities.filter(entity => entity.offset >= from && entity.offset + entity.length <= to);
  while (rest.length) {
    const [entity, ...others] = rest;
    const end = entity.offset + entity.length;
    const inner = formatted(text, others.filter(other => other.offset < end), entity.offset, end);
    const isBlock = BLOCKS.has(entity.type);
    out.append(isBlock ? text.slice(at, entity.offset).replace(/\n$/, '') : text.slice(at, entity.offset));
    out.append(wrapped(entity, inner, text.slice(entity.offset, end)));
    /* A block ends its line by itself. */
    at = isBlock && text[end] === '\n' ? end + 1 : end;
    rest = others.filter(other => other.offset >= end);
  }
  out.append(text.slice(at, to));
  return out;
}

function wrapped(entity, inner, covered) {
  switch (entity.type) {
    case 'pre': return code(entity.language, inner);
    case 'blockquote': return element('blockquote', {}, inner);
    case 'expandable_blockquote': return folded(inner, covered);
    case 'text_link': return link(entity.url, inner);
    case 'url': return link(covered, inner);
    case 'email': return link(`mailto:${covered}`, inner);
    case 'spoiler': return element('span', { className: 'spoiler', tabIndex: 0 }, inner);
  }
  const tag = TAGS[entity.type] || 'span';
  return element(tag, { className: MARKED.has(entity.type) ? 'marked' : '' }, inner);
}

/** Only schemes that lead to a page or a letter. */
function link(url, inner) {
  const href = /^[a-z][a-z0-9+.-]*:/i.test(url) ? url : `http://${url}`;
  if (!/^(https?|mailto|tg|ton):/i.test(href)) return element('span', {}, inner);
  return element('a', { href, target: '_blank', rel: 'noreferrer' }, inner);
}

function code(language, inner) {
  return element('figure', { className: 'code' },
    element('figcaption', {},
      element('span', { className: 'language', textContent: language || '' }),
      element('button', { type: 'button', 'data-act': 'copy-code', textContent: 'Copy' })),
    element('pre', { tabIndex: 0 }, element('code', {}, inner)));
}

function folded(inner, covered) {
  const isLong = covered.length > FOLDED_LENGTH || covered.split('\n').length > FOLDED_LINES;
  const toggle = element('button', { type: 'button', className: 'fold', 'data-act': 'unfold', 'aria-label': 'Show the whole quote' });
  return element('blockquote', { className: isLong ? 'folded' : '' }, element('div', {}, inner), isLong ? toggle : null);
}
