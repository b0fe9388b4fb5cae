/** Balance: at most so many records of a class, and MetaCLIP's balancing of captions. */
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { uniformOfKey } from './key-hash.js';
import { compareKeys } from './ranking.js';

export interface ClassBalanceOptions {
  readonly keys: readonly string[];
  /** Most records of a class. */
  readonly count: number;
  /** Records with the highest scores are kept; by default a random choice by `seed`. */
  readonly scores?: Float64Array | undefined;
  readonly seed: number;
}

/**
 * At most `count` records of each class, by score or at random; a smaller count is a subset of a
 * larger one. Records without a class (label −1) or, if there are scores, without a score are not
 * kept.
 */
export function balanceClasses(
  labels: Int32Array,
  { keys, count, scores, seed }: ClassBalanceOptions,
): Uint8Array {
  const value = (index: number): number =>
    scores === undefined
      ? uniformOfKey(at(keys, index), { seed, purpose: 'class balance' })
      : at(scores, index);
  const members = new Map<number, { index: number; value: number }[]>();
  for (const [index, label] of labels.entries()) {
    const own = { index, value: value(index) };
    if (label < 0 || Number.isNaN(own.value)) continue;
    const known = members.get(label);
    if (known === undefined) members.set(label, [own]);
    else known.push(own);
  }
  const kept = new Uint8Array(labels.length);
  for (const ofClass of members.values()) {
    ofClass.sort((a, b) => b.value - a.value || compareKeys(at(keys, a.index), at(keys, b.index)));
    for (const { index } of ofClass.slice(0, count)) kept[index] = 1;
  }
  return kept;
}

/** Finds the entries of a list in captions; see {@link EntryMatcher.match}. */
export class EntryMatcher {
  readonly entries: readonly string[];
  readonly #ids = new Map<string, number>();
  readonly #longest: number;
  readonly #ignoreCase: boolean;

  /** @throws BantamError for an empty list. */
  constructor(entries: readonly string[], { ignoreCase = false }: { ignoreCase?: boolean } = {}) {
    this.entries = entries;
    this.#ignoreCase = ignoreCase;
    let longest = 0;
    for (const [id, entry] of entries.entries()) {
      const text = ignoreCase ? entry.toLowerCase() : entry;
      if (!this.#ids.has(text)) this.#ids.set(text, id);
      longest = Math.max(longest, text.split(' ').length);
    }
    this.#longest = longest;
    if (entries.length === 0) {
      throw new BantamError('The list of entries is empty; give one entry per line.');
    }
  }

  /**
   * Entries that are substrings of a caption between spaces, each once, in the order in which they
   * begin. As in MetaCLIP (Xu et al. 2023, arXiv 2309.16671, `substr_matching.py`), `, . ; : ? !`
   * and backquotes are set apart by spaces, and tabs and line breaks are spaces.
   */
  match(caption: string): number[] {
    const text = this.#ignoreCase ? caption.toLowerCase() : caption;
    const tokens = text
      .replaceAll(/[,.;:?!`]/g, ' $& ')
      .replaceAll(/[\t\n\r]/g, ' ')
      .split(' ');
    const found = new Set<number>();
    for (let start = 0; start < tokens.length; start++) {
      let words = '';
      const end = Math.min(tokens.length, start + this.#longest);
      for (let i = start; i < end; i++) {
        words = i === start ? at(tokens, i) : `${words} ${at(tokens, i)}`;
        const id = this.#ids.get(words);
        if (id !== undefined && words !== '') found.add(id);
      }
    }
    return [...found];
  }
}

/** Result of {@link captionProbabilities}. */
export interface CaptionBalance {
  /** Matches of each entry. */
  readonly counts: Float64Array;
  /** p = t / max(count, t) of each entry. */
  readonly entryProbabilities: Float64Array;
  /** Probability with which each record is kept; 0 without a match. */
  readonly probabilities: Float64Array;
}

/**
 * MetaCLIP's balancing (Xu et al. 2023, arXiv 2309.16671, algorithm 1): an entry that matches more
 * than t captions is kept with probability p = t / count, others with 1; a pair is kept if any
 * matched entry is, so with probability 1 − Π (1 − p) over the entries of its captions. Pairs
 * without a match are not kept.
 *
 * @param records captions of each record.
 */
export function captionProbabilities(
  records: Iterable<readonly string[]>,
  { matcher, t }: { matcher: EntryMatcher; t: number },
): CaptionBalance {
  const counts = new Float64Array(matcher.entries.length);
  const matches = Array.from(records, (captions) =>
    captions.flatMap((caption) => {
      const ids = matcher.match(caption);
      for (const id of ids) counts[id] = at(counts, id) + 1;
      return ids;
    }),
  );
  const entryProbabilities = counts.map((count) => t / Math.max(count, t));
  const probabilities = Float64Array.from(
    matches,
    (ids) => 1 - ids.reduce((product, id) => product * (1 - at(entryProbabilities, id)), 1),
  );
  return { counts, entryProbabilities, probabilities };
}

/**
 * Keeps each record with its probability: a pure function of seed and key, so a smaller t is a
 * subset of a larger one.
 */
export function sampleByProbability(
  keys: readonly string[],
  { probabilities, seed }: { probabilities: Float64Array; seed: number },
): Uint8Array {
  return Uint8Array.from(keys, (key, index) =>
    uniformOfKey(key, { seed, purpose: 'caption balance' }) < at(probabilities, index) ? 1 : 0,
  );
}

/** The words of captions as a list of entries, lower case, those of at least two captions. */
export function captionWords(records: Iterable<readonly string[]>): string[] {
  const counts = new Map<string, number>();
  for (const captions of records) {
    for (const caption of captions) {
      for (const word of new Set(caption.toLowerCase().match(/[\p{L}\p{N}]+/gu))) {
        counts.set(word, (counts.get(word) ?? 0) + 1);
      }
    }
  }
  return [...counts].flatMap(([word, count]) => (count > 1 ? word : [])).sort();
}
