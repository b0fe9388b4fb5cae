import { decodeHTML, decodeHTMLStrict } from 'entities';

/** What HTML forbids to name by number: controls (the C1 ones stand for Windows-1252), noncharacters. */
// eslint-disable-next-line no-control-regex -- control characters are the subject
const FORBIDDEN = /[\u0001-\u0008\u000b\u000e-\u001f\u007f\ufdd0-\ufdef]/u;

/** The character with a number, read as Python's `html.unescape` reads it. */
function characterByNumber(reference: string): string {
  const character = decodeHTML(reference);
  const code = character.codePointAt(0) ?? 0;
  return FORBIDDEN.test(character) || (code & 0xfffe) === 0xfffe ? '' : character;
}

/**
 * Replaces HTML character references, those without a closing semicolon too (`&copy 2026`), as
 * HTML 5 and Python's `html.unescape` do: one pass, so that `&amp;lt;` becomes `&lt;`.
 */
export function unescapeHtml(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&(?:#(?:x[0-9a-f]+|[0-9]+)|[a-z][a-z0-9]*);?/gi, (reference) =>
    reference[1] === '#' ? characterByNumber(reference) : decodeHTML(reference),
  );
}

/**
 * Replaces only the references that nobody writes by accident: complete with their semicolon, by
 * number or by name, a name also in capitals (`P&EACUTE;REZ`).
 */
export function unescapeClosedEntities(text: string): string {
  if (!text.includes('&')) return text;
  return text.replace(/&#?[0-9A-Za-z]{1,24};/g, (reference) => {
    if (reference[1] === '#') {
      const character = unescapeHtml(reference);
      return character.includes(';') ? reference : character;
    }
    const character = decodeHTMLStrict(reference);
    if (character !== reference) return character;
    const lower = reference.toLowerCase();
    const fromLower = decodeHTMLStrict(lower);
    const isUpperName = reference === reference.toUpperCase() && fromLower !== lower;
    return isUpperName && decodeHTML(reference) === reference ? fromLower.toUpperCase() : reference;
  });
}
