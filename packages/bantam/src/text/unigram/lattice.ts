import { at } from '../../base/at.js';
import type { TokenTrie } from '../token-trie.js';
import { PriorityQueue } from '../priority-queue.js';
import { characterLength } from '../sentencepiece/segment-unigram.js';

/** The vocabulary of a lattice. */
export interface LatticeModel {
  readonly trie: TokenTrie;
  /** Logarithms of the tokens' probabilities. */
  readonly scores: Float32Array;
  /** That of a character without a token, which counts as token 0 as in SentencePiece. */
  readonly unknownScore: number;
}

const { fround } = Math;

/** ln(eˣ + eʸ) in single precision; far apart, the greater one. */
function logSumExp(x: number, y: number): number {
  const [least, most] = x < y ? [x, y] : [y, x];
  if (most > fround(least + 50)) return most;
  return fround(most + Math.log1p(Math.exp(fround(least - most))));
}

/** A way from a node to the end of the text, for the search of the second best segmentation. */
interface Path {
  /** −1: the start of the text. */
  readonly node: number;
  readonly next: Path | null;
  /** Sum of the scores after the node, and of the best way from the start through it. */
  readonly after: number;
  readonly whole: number;
}

/**
 * All segmentations of a text into tokens. Nodes are occurrences of tokens, numbered by their start,
 * then by their length. One lattice serves many texts, one after the other. Sums are in single
 * precision and ties fall as in SentencePiece, so that training ends where its trainer does.
 */
export class Lattice {
  #size = 0;
  #nodes = 0;
  #ids = new Int32Array(64);
  #starts = new Int32Array(64);
  #ends = new Int32Array(64);
  #scores = new Float32Array(64);
  /** Of each node, the score of the best segmentation up to its end, and the node before it there. */
  #best = new Float32Array(64);
  #previous = new Int32Array(64);
  /** Next node with the same end; −1: none. */
  #nextByEnd = new Int32Array(64);
  /** By position, the first and last node that ends there, and the first that starts there. */
  #firstEnd = new Int32Array(64);
  #lastEnd = new Int32Array(64);
  #firstStart = new Int32Array(65);
  #forward = new Float32Array(64);
  #backward = new Float32Array(64);

  setText(text: string, { trie, scores, unknownScore }: LatticeModel): void {
    this.#size = text.length;
    this.#nodes = 0;
    this.#makeRoomForPositions(text.length + 2);
    this.#firstEnd.fill(-1, 0, text.length + 1);
    for (let start = 0; start < text.length;) {
      const length = characterLength(text, start);
      this.#firstStart[start] = this.#nodes;
      let single = false;
      let node = 0;
      for (let end = start; end < text.length;) {
        node = trie.step(node, text.charCodeAt(end));
        if (node === 0) break;
        end++;
        const id = trie.value(node);
        if (id < 0) continue;
        this.#insert(start, end, id, scores[id] ?? NaN);
        single ||= end - start === length;
      }
      if (!single) this.#insert(start, start + length, 0, unknownScore);
      // Nothing starts between the halves of a surrogate pair.
      if (length === 2) this.#firstStart[start + 1] = this.#nodes;
      start += length;
    }
    this.#firstStart[text.length] = this.#nodes;
  }

  /**
   * Adds `weight` times the probability of each token to `expected`: the forward–backward algorithm.
   *
   * @returns the logarithm of the text's probability
   */
  addExpected(weight: number, expected: Float32Array): number {
    const [forward, backward, scores] = [this.#forward, this.#backward, this.#scores];
    const size = this.#size;
    forward[0] = 0;
    for (let position = 1; position <= size; position++) {
      let sum = 0;
      const first = this.#firstEnd[position] ?? -1;
      for (let node = first; node >= 0; node = this.#nextByEnd[node] ?? -1) {
        const own = fround((scores[node] ?? NaN) + (forward[this.#starts[node] ?? -1] ?? NaN));
        sum = node === first ? own : logSumExp(sum, own);
      }
      forward[position] = sum;
    }
    backward[size] = 0;
    for (let position = size - 1; position >= 0; position--) {
      let sum = 0;
      const first = this.#firstStart[position] ?? 0;
      const end = this.#firstStart[position + 1] ?? 0;
      for (let node = first; node < end; node++) {
        const own = fround((scores[node] ?? NaN) + (backward[this.#ends[node] ?? -1] ?? NaN));
        sum = node === first ? own : logSumExp(sum, own);
      }
      backward[position] = sum;
    }
    const total = forward[size] ?? NaN;
    for (let node = 0; node < this.#nodes; node++) {
      const id = this.#ids[node] ?? 0;
      const before = forward[this.#starts[node] ?? -1] ?? NaN;
      const after = backward[this.#ends[node] ?? -1] ?? NaN;
      const score = fround(fround(fround(before + (scores[node] ?? NaN)) + after) - total);
      expected[id] = (expected[id] ?? NaN) + weight * Math.exp(score);
    }
    return total;
  }

  /** Ids of the best segmentation, by Viterbi's algorithm. */
  best(): number[] {
    const ids: number[] = [];
    for (let node = this.#search(); node >= 0; node = at(this.#previous, node)) {
      ids.push(at(this.#ids, node));
    }
    return ids.reverse();
  }

  /**
   * Ids of the two best segmentations, by a search from the end of the text that knows the best way
   * from its start to every node (A*).
   */
  bestTwo(): number[][] {
    this.#search();
    const queue = new PriorityQueue<Path>((a, b) => a.whole > b.whole);
    const found: number[][] = [];
    const extend = (path: Path | null, position: number): void => {
      const after = path?.after ?? 0;
      for (let node = this.#firstEnd[position] ?? -1; node >= 0;) {
        const whole = fround(at(this.#best, node) + after);
        queue.push({ node, next: path, after: fround(at(this.#scores, node) + after), whole });
        node = at(this.#nextByEnd, node);
      }
    };
    extend(null, this.#size);
    for (let path = queue.pop(); path !== undefined && found.length < 2; path = queue.pop()) {
      if (path.node < 0) {
        const ids: number[] = [];
        for (let step = path.next; step !== null; step = step.next) {
          ids.push(at(this.#ids, step.node));
        }
        found.push(ids);
        continue;
      }
      const start = at(this.#starts, path.node);
      if (start > 0) extend(path, start);
      else queue.push({ node: -1, next: path, after: path.after, whole: path.after });
    }
    return found;
  }

  /**
   * The score of the best segmentation that is not the one token `id`; −∞ if there is no other.
   */
  bestWithout(id: number): number {
    const whole = this.#ids
      .subarray(0, this.#nodes)
      .findLastIndex(
        (own, node) => own === id && this.#starts[node] === 0 && this.#ends[node] === this.#size,
      );
    if (whole < 0) return Infinity;
    const score = at(this.#scores, whole);
    this.#scores[whole] = -Infinity;
    const last = this.#search();
    this.#scores[whole] = score;
    return at(this.#best, last);
  }

  /** Fills in the best segmentations up to each node; returns the last node of the best one. */
  #search(): number {
    let last = -1;
    for (let node = 0; node <= this.#nodes; node++) {
      const isEnd = node === this.#nodes;
      const start = isEnd ? this.#size : at(this.#starts, node);
      const score = isEnd ? 0 : at(this.#scores, node);
      let best = start === 0 ? score : -Infinity;
      let previous = -1;
      for (let before = start === 0 ? -1 : at(this.#firstEnd, start); before >= 0;) {
        const sum = fround((this.#best[before] ?? NaN) + score);
        if (previous < 0 || sum > best) {
          best = sum;
          previous = before;
        }
        before = this.#nextByEnd[before] ?? -1;
      }
      if (isEnd) {
        last = previous;
      } else {
        this.#best[node] = best;
        this.#previous[node] = previous;
      }
    }
    return last;
  }

  #insert(start: number, end: number, id: number, score: number): void {
    if (this.#nodes === this.#ids.length) this.#makeRoomForNodes();
    const node = this.#nodes++;
    this.#ids[node] = id;
    this.#starts[node] = start;
    this.#ends[node] = end;
    this.#scores[node] = score;
    this.#nextByEnd[node] = -1;
    if ((this.#firstEnd[end] ?? -1) < 0) this.#firstEnd[end] = node;
    else this.#nextByEnd[at(this.#lastEnd, end)] = node;
    this.#lastEnd[end] = node;
  }

  #makeRoomForNodes(): void {
    this.#ids = twice(this.#ids);
    this.#starts = twice(this.#starts);
    this.#ends = twice(this.#ends);
    this.#previous = twice(this.#previous);
    this.#nextByEnd = twice(this.#nextByEnd);
    this.#scores = twice(this.#scores);
    this.#best = twice(this.#best);
  }

  #makeRoomForPositions(count: number): void {
    if (count <= this.#firstEnd.length) return;
    this.#firstEnd = new Int32Array(2 * count);
    this.#lastEnd = new Int32Array(2 * count);
    this.#firstStart = new Int32Array(2 * count);
    this.#forward = new Float32Array(2 * count);
    this.#backward = new Float32Array(2 * count);
  }
}

function twice<List extends Int32Array | Float32Array>(list: List): List;
function twice(list: Int32Array | Float32Array): Int32Array | Float32Array {
  const longer =
    list instanceof Int32Array
      ? new Int32Array(2 * list.length)
      : new Float32Array(2 * list.length);
  longer.set(list);
  return longer;
}
