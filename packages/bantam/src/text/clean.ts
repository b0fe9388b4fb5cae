import { decodeHTML, decodeHTMLStrict } from 'entities';
import { fixC1Controls, fixMojibake } from './mojibake.js';

/** Numbers that HTML forbids: controls (C1 ones mean Windows-1252) and noncharacters. */
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

/* eslint-disable no-control-regex -- control characters are the subject */

/** Ligatures and digraphs of Latin letters that only encodings or typesetting made one character. */
const LIGATURES =
  'Ĳ=IJ ĳ=ij ŉ=ʼn Ǳ=DZ ǲ=Dz ǳ=dz Ǆ=DŽ ǅ=Dž ǆ=dž Ǉ=LJ ǈ=Lj ǉ=lj Ǌ=NJ ǋ=Nj ǌ=nj ﬀ=ff ﬁ=fi ﬂ=fl ﬃ=ffi ﬄ=ffl ﬅ=ſt ﬆ=st';
const LETTERS_OF = new Map(
  LIGATURES.split(' ').map((pair) => pair.split('=') as [ligature: string, letters: string]),
);
const LIGATURE = new RegExp(`[${[...LETTERS_OF.keys()].join('')}]`, 'g');

/** One round of repairs over one line; order matters, and matches ftfy's. */
function fixLineOnce(line: string, unescape: boolean): string {
  return fixC1Controls(fixMojibake(unescape ? unescapeClosedEntities(line) : line))
    .replace(LIGATURE, (ligature) => LETTERS_OF.get(ligature) ?? ligature)
    .replace(/\u3000/g, ' ')
    .replace(/[\uff01-\uffef]/g, (wide) => wide.normalize('NFKC'))
    .replace(/[\u201c-\u201f]/g, '"')
    .replace(/[\u02bc\u2018-\u201b]/g, "'")
    .replace(/\r\n?|[\u0085\u2028\u2029]/g, '\n')
    .replace(/\p{Surrogate}/gu, '\ufffd')
    .replace(/\x1b\[[\d;]*[a-zA-Z]/g, '')
    .replace(/[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g, '')
    .normalize('NFC');
}

/**
 * Repairs text as ftfy 6's `fix_text` does with its default settings, line by line until nothing
 * changes any more:
 *
 * - complete HTML character references are replaced (from the first line with a `<` on, the text is
 *   taken for HTML and they stay);
 * - UTF-8 that was read as Windows-1252 or Latin-1 is undone ({@link fixMojibake}), C1 controls
 *   become what Windows-1252 means by them;
 * - Latin ligatures become letters, full-width and half-width forms their ordinary width, curly
 *   quotation marks straight ones, all line breaks `\n`;
 * - lone surrogates become U+FFFD; terminal escapes and control characters go;
 * - the result is in normal form C.
 *
 * Not covered: UTF-8 that was read as anything else (Windows-1250, -1251, -1253, -1254, -1257, ISO
 * 8859-2, Mac Roman, code page 437), bytes lost to `?`, CESU-8, and ftfy's rarer marks of suspicion
 * (its tables of improbable pairs are longer than ours, so that it repairs some isolated letters of
 * which we take no notice). Such text stays unchanged.
 */
export function fixText(text: string): string {
  let unescape = true;
  const lines = text.match(/[^\n]*\n|[^\n]+/g) ?? [];
  return lines
    .map((line) => {
      unescape &&= !line.includes('<');
      let before: string;
      do {
        before = line;
        line = fixLineOnce(line, unescape);
      } while (line !== before);
      return line;
    })
    .join('');
}

/**
 * Cleaning of a text before it is tokenized, under OpenCLIP's names. `none`: nothing.
 * `whitespace`: {@link fixText}, HTML references twice, runs of white space to one space.
 * `lower`: that, and lower case. `canonicalize`: that, without ASCII punctuation (SigLIP).
 */
export type Cleaning = 'none' | 'whitespace' | 'lower' | 'canonicalize';

/** White space as Python's `str.split` has it: Unicode's, and four separators of ASCII. */

const SPACES = /[\p{White_Space}\x1c-\x1f]+/gu;

function collapseSpaces(text: string): string {
  return text.replace(SPACES, ' ').replace(/^ | $/g, '');
}

/** Text that needs nothing but the last steps: printable ASCII without a reference. */
const PLAIN = /^[ -%'-~]*$/;

function repair(text: string): string {
  return PLAIN.test(text) ? text : unescapeHtml(unescapeHtml(fixText(text)));
}

/**
 * Cleans text as OpenCLIP 3.3 does before it tokenizes (`open_clip/tokenizer.py`).
 *
 * @param text - any text
 * @param cleaning - which steps; see {@link Cleaning}
 */
export function cleanText(text: string, cleaning: Cleaning): string {
  switch (cleaning) {
    case 'none':
      return text;
    case 'whitespace':
      return collapseSpaces(repair(text));
    case 'lower':
      return collapseSpaces(repair(text)).toLowerCase();
    case 'canonicalize': {
      const letters = repair(text)
        .replaceAll('_', ' ')
        .replace(/[!-/:-@[-`{-~]/g, '');
      return collapseSpaces(letters.toLowerCase());
    }
  }
}
