import { at } from '../../base/at.js';
import { TokenTrie } from '../token-trie.js';
import { CharsMap } from './charsmap.js';
import { SPACE, type SentencePieceModel } from './model.js';
import { characterLength } from './segment-unigram.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/**
 * Normalises texts as SentencePiece does before it segments them: from the left the longest rule of
 * the charsmap is applied, a character without one stays, and so do user-defined tokens; spaces are
 * then removed, added and escaped as the file says.
 */
export class Normalizer {
  readonly #map: CharsMap | null;
  readonly #whole: TokenTrie | null;
  readonly #settings: Pick<SentencePieceModel, 'normalizer' | 'whitespaceAsSuffix'>;

  /**
   * @param whole - tokens that normalisation leaves unchanged
   * @param file - for errors
   */
  constructor(
    settings: Pick<SentencePieceModel, 'normalizer' | 'whitespaceAsSuffix'>,
    whole: readonly string[],
    file: string,
  ) {
    const { charsmap } = settings.normalizer;
    this.#settings = settings;
    this.#map = charsmap.length === 0 ? null : new CharsMap(charsmap, file);
    this.#whole = whole.length === 0 ? null : new TokenTrie(whole);
  }

  normalize(text: string): string {
    const { normalizer, whitespaceAsSuffix } = this.#settings;
    const { addDummyPrefix, removeExtraWhitespaces, escapeWhitespaces } = normalizer;
    const space = escapeWhitespaces ? SPACE : ' ';
    const parts = this.#partsOf(text);
    const first = removeExtraWhitespaces ? parts.findIndex((part) => part !== ' ') : 0;
    if (first < 0 || parts.length === 0) return '';
    let result = addDummyPrefix && !whitespaceAsSuffix ? space : '';
    let afterSpace = removeExtraWhitespaces;
    for (let i = first; i < parts.length; i++) {
      let part = at(parts, i);
      while (afterSpace && part.startsWith(' ')) part = part.slice(1);
      if (part === '') continue;
      result += escapeWhitespaces && part.includes(' ') ? part.replaceAll(' ', SPACE) : part;
      afterSpace = removeExtraWhitespaces && part.endsWith(' ');
    }
    if (removeExtraWhitespaces) {
      while (result.endsWith(space)) result = result.slice(0, -1);
    }
    return addDummyPrefix && whitespaceAsSuffix ? result + space : result;
  }

  /** Replacements, whole tokens and untouched characters of a text, in order. */
  #partsOf(given: string): string[] {
    const parts: string[] = [];
    const bytes = encoder.encode(given);
    // Lone surrogates are the replacement character now.
    const text = bytes.length === given.length ? given : decoder.decode(bytes);
    let byte = 0;
    for (let position = 0; position < text.length;) {
      const whole = this.#whole?.longest(text, position) ?? 0;
      const rule = whole > 0 ? undefined : this.#map?.match(bytes, byte);
      let end = position + (whole > 0 ? whole : characterLength(text, position));
      if (rule === undefined) {
        parts.push(text.slice(position, end));
      } else {
        parts.push(rule.text);
        end = position;
        for (let size = 0; size < rule.length; end++) size += bytesOfUnit(text.charCodeAt(end));
      }
      for (; position < end; position++) byte += bytesOfUnit(text.charCodeAt(position));
    }
    return parts;
  }
}

/** Bytes of a code unit in UTF-8; of a surrogate, half of those of the pair. */
function bytesOfUnit(unit: number): number {
  if (unit < 0x80) return 1;
  return unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3;
}
