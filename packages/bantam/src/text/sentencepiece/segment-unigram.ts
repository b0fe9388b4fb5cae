import { at } from '../../base/at.js';
import { TokenTrie } from '../token-trie.js';
import { tokenTypes, type Token } from './model.js';

/** A part of a normalised text with the id of its token. */
export interface Segment {
  readonly text: string;
  readonly id: number;
}

/** Splits normalised texts into tokens. */
export type Segmenter = (text: string) => Segment[];

/** How much less than the least probable token a character without one counts. */
export const UNKNOWN_PENALTY = 10;

/** The largest number in single precision. */
const LARGEST_FLOAT = 3.4028234663852886e38;

/** Code units of the character at a position: 2 for a surrogate pair. */
export function characterLength(text: string, position: number): number {
  const unit = text.charCodeAt(position);
  return unit >= 0xd800 && unit < 0xdc00 && position + 1 < text.length ? 2 : 1;
}

/** A sum beyond this is taken off all others, so that those of long texts stay exact. */
const LARGEST_SUM = 100_000;

/**
 * The most probable segmentation under a unigram language model (Kudo 2018, arXiv 1804.10959,
 * equation 3) by Viterbi's algorithm, with the sums in single precision and the ties of
 * SentencePiece 0.2.3: of equally probable segmentations of a prefix, the one found first, whose
 * last token is the longest. A user-defined token scores a tenth of its bytes but the first, so that
 * it is always taken; a character without a token {@link UNKNOWN_PENALTY} less than the lowest score.
 */
export function unigramSegmenter(tokens: readonly Token[]): Segmenter {
  const { normal, unknown, userDefined, unused } = tokenTypes;
  const ids: number[] = [];
  let least = LARGEST_FLOAT;
  for (const [id, { type, score }] of tokens.entries()) {
    if (type === normal) least = Math.min(least, score);
    if (type === normal || type === userDefined || type === unused) ids.push(id);
  }
  const trie = new TokenTrie(ids.map((id) => at(tokens, id).text));
  const unknownId = tokens.findIndex(({ type }) => type === unknown);
  const unknownScore = Math.fround(least - UNKNOWN_PENALTY);
  const scores = Float32Array.from(ids, (id) => {
    const { text, type, score } = at(tokens, id);
    return type === userDefined ? 0.1 * (new TextEncoder().encode(text).length - 1) : score;
  });
  const isUnused = Uint8Array.from(ids, (id) => Number(at(tokens, id).type === unused));

  return (text) => {
    const size = text.length;
    const best = new Float32Array(size + 1);
    const starts = new Int32Array(size + 1).fill(-1);
    const found = new Int32Array(size + 1);
    let frontier = 0;
    const offer = (start: number, end: number, score: number, id: number): void => {
      const sum = Math.fround(score + (best[start] ?? NaN));
      frontier = Math.max(frontier, end);
      if ((starts[end] ?? -1) >= 0 && !(sum > (best[end] ?? NaN))) return;
      best[end] = sum;
      starts[end] = start;
      found[end] = id;
    };
    for (let start = 0; start < size;) {
      const sum = best[start] ?? NaN;
      if (Math.abs(sum) > LARGEST_SUM) {
        for (let i = start; i <= frontier; i++) best[i] = (best[i] ?? NaN) - sum;
      }
      const length = characterLength(text, start);
      let single = false;
      let node = 0;
      for (let end = start; end < size;) {
        node = trie.step(node, text.charCodeAt(end));
        if (node === 0) break;
        end++;
        const index = trie.value(node);
        if (index < 0 || isUnused[index] === 1) continue;
        offer(start, end, scores[index] ?? NaN, ids[index] ?? -1);
        single ||= end - start === length;
      }
      if (!single) offer(start, start + length, unknownScore, unknownId);
      start += length;
    }
    const segments: Segment[] = [];
    for (let end = size; end > 0; end = at(starts, end)) {
      segments.push({ text: text.slice(at(starts, end), end), id: at(found, end) });
    }
    return segments.reverse();
  };
}
