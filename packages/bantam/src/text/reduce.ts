import { createRequire } from 'node:module';
import type tagger from 'compromise/two';
import { at } from '../base/at.js';
import { BantamError } from '../base/errors.js';
import { TextCache } from './text-cache.js';
import type { EncodedBatch, Tokenizer } from './tokenizer.js';

/** Class of a word in the syntax reduction of texts. */
export type WordClass = 'noun' | 'adjective' | 'verb' | 'other';

/** A word of a text, without the punctuation around it. */
export interface ClassifiedWord {
  readonly text: string;
  readonly class: WordClass;
}

type Tagger = typeof tagger;

let loaded: Tagger | undefined;

/** Loads the tagger when it is first needed: it takes about a tenth of a second. */
function loadTagger(): Tagger {
  loaded ??= createRequire(import.meta.url)('compromise/two') as Tagger;
  return loaded;
}

/**
 * The words of an English text with their classes, by the library compromise. Pronouns, numerals,
 * modal verbs, adverbs and particles are `other`, as their Penn Treebank tags are outside NN, JJ and VB.
 */
export function classifyWords(text: string): ClassifiedWord[] {
  const words = loadTagger()(text).termList();
  return words
    .filter((word) => word.text !== '')
    .map((word) => ({ text: word.text, class: classOf(word.tags ?? new Set()) }));
}

function classOf(tags: ReadonlySet<string>): WordClass {
  // A possessive that is neither singular nor plural is a pronoun: `my`.
  const pronoun =
    tags.has('Pronoun') || (tags.has('Possessive') && !tags.has('Singular') && !tags.has('Plural'));
  if (tags.has('Noun') && !pronoun) return 'noun';
  if (tags.has('Adjective')) return 'adjective';
  if (tags.has('Verb') && !tags.has('Modal') && !tags.has('Particle')) return 'verb';
  return 'other';
}

/** How texts are shortened for training (CLIPA, Li et al. 2023, section 3.1). */
export interface TextReduction {
  /**
   * Which ids stay of a text that is too long. `truncate`: the first; `random`: a random subset, in
   * order; `block`: a run that starts anywhere; `syntax`: the first words in the order of nouns,
   * adjectives, verbs and others (for English texts).
   */
  readonly method: 'truncate' | 'random' | 'block' | 'syntax';
  /** The most ids of a text, special ones included. */
  readonly length: number;
}

/** The methods of {@link TextReduction}. */
export const reductionMethods: readonly TextReduction['method'][] = [
  'truncate',
  'random',
  'block',
  'syntax',
];

/** Uniform random numbers in [0, 1). */
export type Uniform = () => number;

/** Options of {@link TextReducer}. */
export interface TextReducerOptions {
  tokenizer: Tokenizer;
  reduction: TextReduction;
}

const ranks: Readonly<Record<WordClass, number>> = { noun: 1, adjective: 2, verb: 3, other: 4 };

/**
 * Indices of the `count` words that rank first, noun before adjective before verb before others and
 * the earlier before the later, in the order of the text.
 */
export function indicesBySyntax(classes: readonly WordClass[], count: number): number[] {
  const order = classes.map((_, index) => index);
  const rank = (index: number) => ranks[at(classes, index)];
  order.sort((a, b) => rank(a) - rank(b));
  return order.slice(0, count).sort((a, b) => a - b);
}

/** A random subset of `count` of the values, in their order (Knuth, volume 2, algorithm 3.4.2S). */
function sortedSubset<T>(values: readonly T[], count: number, uniform: Uniform): T[] {
  const subset: T[] = [];
  values.forEach((value, i) => {
    if ((values.length - i) * uniform() < count - subset.length) subset.push(value);
  });
  return subset;
}

/**
 * Encodes texts to at most {@link TextReduction.length} ids. The tokenizer's start and end stay
 * first and last; a text that fits is encoded as ever. Random subsets come from the ids that
 * {@link Tokenizer.encode} gives, which end at the tokenizer's context.
 */
export class TextReducer {
  readonly #tokenizer: Tokenizer;
  readonly #reduction: TextReduction;
  readonly #bySyntax = new TextCache<number[]>();

  /** @throws BantamError if the length leaves no room for text. */
  constructor({ tokenizer, reduction }: TextReducerOptions) {
    const { length } = reduction;
    this.#tokenizer = tokenizer;
    this.#reduction = reduction;
    const { before, after } = this.#frame(tokenizer.encode(''));
    const special = before.length + after.length;
    if (Number.isInteger(length) && length > special) return;
    throw new BantamError(
      `A text of ${length} ids has no room for words beside ${special} special ones; reduce texts to a larger length.`,
    );
  }

  /** Ids of one text, special tokens included and without padding. */
  encode(text: string, uniform: Uniform): number[] {
    const ids = this.#tokenizer.encode(text);
    const { length, method } = this.#reduction;
    if (ids.length <= length) return ids;
    if (method === 'syntax') return this.#encodeBySyntax(text);
    const { before, own, after } = this.#frame(ids);
    const room = length - before.length - after.length;
    return [...before, ...choose(own, { method, room, uniform }), ...after];
  }

  /** Ids of many texts, padded on the right to the longest; row i samples from `uniformOf(i)`. */
  encodeBatch(texts: readonly string[], uniformOf: (row: number) => Uniform): EncodedBatch {
    const rows = texts.map((text, row) => this.encode(text, uniformOf(row)));
    const columns = rows.reduce((longest, row) => Math.max(longest, row.length), 0);
    const ids = new BigInt64Array(rows.length * columns).fill(BigInt(this.#tokenizer.padId));
    rows.forEach((row, i) => {
      ids.set(row.map(BigInt), i * columns);
    });
    return { ids, shape: [rows.length, columns] };
  }

  /** The words that rank first, encoded and cut; words of several ids may leave no room for the last. */
  #encodeBySyntax(text: string): number[] {
    const known = this.#bySyntax.get(text);
    if (known !== undefined) return known;
    const { length } = this.#reduction;
    const special = this.#tokenizer.encode('').length;
    const words = classifyWords(text);
    const indices = indicesBySyntax(
      words.map((word) => word.class),
      length - special,
    );
    const kept = indices.map((index) => at(words, index).text).join(' ');
    const { before, own, after } = this.#frame(this.#tokenizer.encode(kept));
    const ids = [...before, ...own.slice(0, length - special), ...after];
    this.#bySyntax.set(text, ids);
    return ids;
  }

  /** The start of a text's ids, its own ones, and the end. */
  #frame(ids: readonly number[]): { before: number[]; own: number[]; after: number[] } {
    const { sotId, eotId } = this.#tokenizer;
    const start = ids[0] === sotId ? 1 : 0;
    const end = ids.length > start && ids.at(-1) === eotId ? ids.length - 1 : ids.length;
    return { before: ids.slice(0, start), own: ids.slice(start, end), after: ids.slice(end) };
  }
}

/** The ids that stay of a text's own. */
function choose(
  own: readonly number[],
  options: { method: 'truncate' | 'random' | 'block'; room: number; uniform: Uniform },
): number[] {
  const { method, room, uniform } = options;
  if (method === 'random') return sortedSubset(own, room, uniform);
  const start = method === 'block' ? Math.floor(uniform() * (own.length - room + 1)) : 0;
  return own.slice(start, start + room);
}
