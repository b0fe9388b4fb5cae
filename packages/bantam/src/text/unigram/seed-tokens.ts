import { at } from '../../base/at.js';
import { SPACE } from '../sentencepiece/model.js';
import { BOUNDARY, RARE, type Corpus } from './corpus.js';
import { compareCharacters } from './order.js';
import { isOneScript } from './scripts.js';

/** Tokens with their scores, in single precision. */
export interface ScoredTokens {
  readonly texts: string[];
  readonly scores: Float32Array;
}

/** Longest token, in characters: SentencePiece's default. */
const LONGEST = 16;
/** The same in bytes. */
const LONGEST_BYTES = 4 * LONGEST;
/** Follows the last word of a caption; before every character. */
const END = 0;

/**
 * Captions' words one after the other as UTF-8 bytes, each with the space or end after it and a −1,
 * past which no substring goes on.
 */
interface Text {
  readonly bytes: Int16Array;
  /** By position, how often it occurs in the captions. */
  readonly counts: Float64Array;
  /** First bytes of words' characters. */
  readonly positions: Int32Array;
}

const encoder = new TextEncoder();

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

function layOut({ words }: Corpus): Text {
  const space = encoder.encode(SPACE);
  const encoded = words.map(({ text }) => encoder.encode(text));
  const size = encoded.reduce((sum, { length }) => sum + length + space.length + 1, 0);
  const bytes = new Int16Array(size).fill(-1);
  const counts = new Float64Array(size);
  const positions: number[] = [];
  let offset = 0;
  for (const [i, { isLast, count }] of words.entries()) {
    const word = at(encoded, i);
    bytes.set(word, offset);
    counts.fill(count, offset, offset + word.length);
    for (const [j, byte] of word.entries()) if (!isContinuation(byte)) positions.push(offset + j);
    offset += word.length;
    const after = isLast ? [END] : space;
    bytes.set(after, offset);
    offset += after.length + 1;
  }
  return { bytes, counts, positions: Int32Array.from(positions) };
}

/**
 * Sorts positions by the text that begins there, of which at most one byte more than the longest token
 * is looked at: quicksort in three parts by one byte after the other (Bentley and Sedgewick 1997).
 */
function sortSuffixes({ bytes }: Text, positions: Int32Array): void {
  const byte = (i: number, depth: number): number => bytes[(positions[i] ?? 0) + depth] ?? -1;
  const swap = (i: number, j: number): void => {
    const kept = positions[i] ?? 0;
    positions[i] = positions[j] ?? 0;
    positions[j] = kept;
  };
  // Ranges that are still to be sorted: start, end, and the bytes that they have in common.
  const ranges = [0, positions.length, 0];
  while (ranges.length > 0) {
    const [low = 0, high = 0, depth = 0] = ranges.splice(-3);
    if (high - low < 2 || depth > LONGEST_BYTES) continue;
    const pivot = byte((low + high) >> 1, depth);
    let [less, i, greater] = [low, low, high];
    while (i < greater) {
      const own = byte(i, depth);
      if (own < pivot) swap(less++, i++);
      else if (own > pivot) swap(i, --greater);
      else i++;
    }
    ranges.push(low, less, depth, greater, high, depth);
    if (pivot >= 0) ranges.push(less, greater, depth + 1);
  }
}

/** A substring of the captions that at least two different bytes follow. */
interface Substring {
  readonly position: number;
  /** In bytes. */
  readonly length: number;
  readonly count: number;
}

/** Inner nodes of the suffix tree of the captions' words. */
function* innerNodes(text: Text): Generator<Substring, void, undefined> {
  const { bytes, counts, positions } = text;
  sortSuffixes(text, positions);
  const common = (i: number): number => {
    if (i === 0 || i >= positions.length) return -1;
    const [a, b] = [at(positions, i - 1), at(positions, i)];
    let length = 0;
    while (length <= LONGEST_BYTES && bytes[a + length] === bytes[b + length]) {
      if (bytes[a + length] === -1) break;
      length++;
    }
    return length;
  };
  // Open nodes: the text up to their depth is that of all positions from `first` on.
  const open: { first: number; depth: number; before: number }[] = [];
  let counted = 0;
  for (let i = 0; i <= positions.length; i++) {
    const depth = common(i);
    let first = i - 1;
    let before = i === 0 ? 0 : counted - at(counts, at(positions, i - 1));
    for (let top = open.at(-1); top !== undefined && top.depth > depth; top = open.at(-1)) {
      open.pop();
      ({ first, before } = top);
      if (top.depth <= LONGEST_BYTES) {
        yield { position: at(positions, first), length: top.depth, count: counted - before };
      }
    }
    if (i < positions.length) counted += at(counts, at(positions, i));
    if (depth > 0 && (open.at(-1)?.depth ?? 0) < depth) open.push({ first, depth, before });
  }
}

const forbidden = new RegExp(`[\\0 ${BOUNDARY}${RARE}]|[\\s\\S]${SPACE}`, 'u');

function canBeToken(text: string): boolean {
  const { length } = Array.from(text);
  if (length < 2 || length > LONGEST || forbidden.test(text)) return false;
  return isOneScript(text.startsWith(SPACE) ? text.slice(1) : text);
}

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** The text of a substring; null if it ends within a character or a word does not hold it. */
function tokenText({ bytes }: Text, { position, length }: Substring): string | null {
  const own = bytes.subarray(position, position + length);
  if (isContinuation(at(bytes, position + length)) || own.includes(-1)) return null;
  const text = decoder.decode(Uint8Array.from(own));
  return canBeToken(text) ? text : null;
}

/** A substring that can be a token. */
interface Seed {
  readonly text: string;
  readonly score: number;
  /** Length of the text in bytes. */
  readonly bytes: number;
}

/** Higher scores first, of equal ones longer texts, of equally long ones by code point. */
function compareSeeds(a: Seed, b: Seed): number {
  return b.score - a.score || b.bytes - a.bytes || compareCharacters(a.text, b.text);
}

/**
 * SentencePiece counts what ends the captions once more if it ends the very last caption: there the end
 * of all its data, like another character, makes a node of what goes before.
 */
function countsAtEnd({ words, lastWord }: Corpus): Map<string, number> {
  const counts = new Map<string, number>();
  const characters = Array.from(lastWord);
  for (const start of characters.keys()) {
    const text = characters.slice(start).join('');
    let count = 0;
    for (const word of words) if (word.isLast && word.text.endsWith(text)) count += word.count;
    if (count >= 2 && canBeToken(text)) counts.set(text, count);
  }
  return counts;
}

/**
 * Seeds of a unigram vocabulary, as SentencePiece 0.2.3 chooses them: all covered characters, and the
 * substrings of at most 16 characters with the highest product of length and count among those that
 * at least two different bytes follow in the captions, that hold a space at most at the start and
 * are of one script. Scores are logarithms of those products' fractions.
 *
 * @param most - number of substrings
 */
export function seedTokens(corpus: Corpus, most: number): ScoredTokens {
  const text = layOut(corpus);
  const atEnd = countsAtEnd(corpus);
  let found: Seed[] = [];
  const keepBest = (): void => {
    found.sort(compareSeeds);
    found = found.slice(0, most);
  };
  const add = (token: string, count: number, bytes: number): void => {
    const score = Math.fround(Math.fround(count) * Array.from(token).length);
    if (count >= 2) found.push({ text: token, score, bytes });
    if (found.length > 4 * most) keepBest();
  };
  for (const node of innerNodes(text)) {
    const token = tokenText(text, node);
    if (token === null) continue;
    add(token, node.count + (atEnd.get(token) ?? 0), node.length);
    atEnd.delete(token);
  }
  for (const [token, count] of atEnd) add(token, count, encoder.encode(token).length);
  keepBest();
  const characters = [...corpus.characters].sort(
    ([a, x], [b, y]) => y - x || compareCharacters(a, b),
  );
  return {
    texts: [...characters.map(([character]) => character), ...found.map((seed) => seed.text)],
    scores: toLogarithms(
      Float32Array.from([
        ...characters.map(([, count]) => count),
        ...found.map(({ score }) => score),
      ]),
    ),
  };
}

/** Logarithms of the fractions of a sum. */
function toLogarithms(scores: Float32Array): Float32Array {
  const total = Math.log(scores.reduce((sum, score) => sum + score, 0));
  return scores.map((score) => Math.log(score) - total);
}
