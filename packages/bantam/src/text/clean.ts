import { fixText } from './fix-text.js';
import { unescapeHtml } from './html-entities.js';

/**
 * What is done to a text before it is tokenized, under OpenCLIP's names. `none`: nothing.
 * `whitespace`: {@link fixText}, HTML references twice, runs of white space to one space.
 * `lower`: that, and lower case. `canonicalize`: that, without ASCII punctuation (SigLIP).
 */
export type Cleaning = 'none' | 'whitespace' | 'lower' | 'canonicalize';

/** White space as Python's `str.split` has it: Unicode's, and four separators of ASCII. */
// eslint-disable-next-line no-control-regex -- control characters are the subject
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
