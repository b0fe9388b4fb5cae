import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { SPACE, type NormalizerSpec } from '../sentencepiece/model.js';
import { Normalizer } from '../sentencepiece/normalizer.js';
import { compareCharacters } from './order.js';

/** Stands for characters that the vocabulary does not cover. */
export const RARE = '\u2585';

/** Stands for the names of special tokens. */
export const BOUNDARY = '\x1f';

/** A word with what follows it in the captions: another word, or the end. */
export interface CountedWord {
  readonly text: string;
  readonly isLast: boolean;
  readonly count: number;
}

/** Normalised captions, as words. */
export interface Corpus {
  /** Distinct words; one that comes both within and at the end of captions is there twice. */
  readonly words: readonly CountedWord[];
  /** Covered characters with their counts, the most frequent first. */
  readonly characters: ReadonlyMap<string, number>;
  /** The last word of all. */
  readonly lastWord: string;
}

const encoder = new TextEncoder();

/** Longest caption that is learned from, in bytes: SentencePiece's default. */
const LONGEST_BYTES = 4192;

/**
 * A reservoir of captions (Vitter 1985, algorithm R): each caption of a longer stream is kept with the
 * same probability. The draws depend on the position in the stream alone.
 */
export function sampleCaptions(captions: Iterable<string>, most: number): string[] {
  const kept: string[] = [];
  let state = 0x9e3779b9;
  let seen = 0;
  const draw = (): number => {
    // Xorshift with 32 bits (Marsaglia 2003).
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
  for (const caption of captions) {
    if (caption === '' || caption.includes(RARE)) continue;
    // A code unit is at most three bytes.
    const mayBeLong = 3 * caption.length > LONGEST_BYTES;
    if (mayBeLong && encoder.encode(caption).length > LONGEST_BYTES) continue;
    seen++;
    if (kept.length < most) {
      kept.push(caption);
    } else {
      const index = Math.floor(draw() * seen);
      if (index < most) kept[index] = caption;
    }
  }
  return kept;
}

/** Words of a normalised text; each begins with its space. */
function wordsOf(text: string): string[] {
  return text.match(/\u2581[^\u2581]*|[^\u2581]+/g) ?? [];
}

/** Characters by falling count, those of equal count by code point. */
function byCount(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort(([a, x], [b, y]) => y - x || compareCharacters(a, b));
}

/** The most frequent characters that together are the fraction `coverage` of all. */
function coverCharacters(
  counts: ReadonlyMap<string, number>,
  coverage: number,
): Map<string, number> {
  let total = 0;
  for (const count of counts.values()) total += count;
  const covered = new Map<string, number>();
  let sum = 0;
  for (const [character, count] of byCount(counts)) {
    if (Math.fround(sum / total) >= Math.fround(coverage)) break;
    sum += count;
    if (character !== BOUNDARY) covered.set(character, count);
  }
  return covered;
}

/**
 * Normalises captions, splits them at their spaces and counts the words. Names of special tokens
 * within captions, and characters beyond the coverage, become {@link RARE}.
 *
 * @throws BantamError if nothing is left
 */
export function readCorpus(
  captions: readonly string[],
  settings: {
    readonly normalizer: NormalizerSpec;
    readonly coverage: number;
    readonly special: readonly string[];
  },
): Corpus {
  const normalizer = new Normalizer(
    { normalizer: settings.normalizer, whitespaceAsSuffix: false },
    [],
    'the tokenizer',
  );
  const special = new RegExp(
    // The longest name first, as the first that fits is taken.
    settings.special
      .toSorted((a, b) => b.length - a.length)
      .map((name) => name.replace(/[^\w]/g, '\\$&'))
      .join('|'),
    'g',
  );
  const counts = new Map<string, { within: number; last: number }>();
  const split = (caption: string): string[] =>
    wordsOf(normalizer.normalize(caption).replace(special, BOUNDARY));
  const times = new Map<string, number>();
  for (const caption of captions) times.set(caption, (times.get(caption) ?? 0) + 1);
  for (const [caption, count] of times) {
    const words = split(caption);
    for (const [i, word] of words.entries()) {
      const entry = counts.get(word) ?? { within: 0, last: 0 };
      entry[i === words.length - 1 ? 'last' : 'within'] += count;
      counts.set(word, entry);
    }
  }
  const characters = new Map<string, number>();
  for (const [word, { within, last }] of counts) {
    for (const character of word) {
      characters.set(character, (characters.get(character) ?? 0) + within + last);
    }
  }
  const covered = coverCharacters(characters, settings.coverage);
  if (covered.size === 0 || (covered.size === 1 && covered.has(SPACE))) {
    throw new BantamError('There are no words to train a tokenizer on; give it captions.');
  }
  const coveredText = (word: string): string =>
    Array.from(word, (character) => (covered.has(character) ? character : RARE)).join('');
  const merged = new Map<string, CountedWord>();
  for (const [word, { within, last }] of counts) {
    const text = coveredText(word);
    for (const [isLast, count] of [
      [false, within],
      [true, last],
    ] as const) {
      if (count === 0) continue;
      const key = `${text}${isLast ? ' ' : ''}`;
      merged.set(key, { text, isLast, count: count + (merged.get(key)?.count ?? 0) });
    }
  }
  let lastWord = '';
  for (let i = captions.length - 1; i >= 0 && lastWord === ''; i--) {
    for (const word of split(at(captions, i))) lastWord = coveredText(word);
  }
  return { words: [...merged.values()], characters: covered, lastWord };
}
