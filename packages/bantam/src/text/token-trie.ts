import { at } from '../base/at.js';

/**
 * Texts with a value each, found by what a longer text starts with. Nodes are numbered level by
 * level, so that the children of a node are a range of nodes, ordered by the UTF-16 code unit that
 * leads to them.
 */
export class TokenTrie {
  /** By code unit, the child of the root; 0: none. */
  readonly #roots = new Int32Array(0x10000);
  /** Children of node `n`: from `first[n]` to before `first[n + 1]`. */
  readonly #first: Int32Array;
  readonly #units: Uint16Array;
  readonly #values: Int32Array;

  /** @param tokens - distinct, not empty; the value of each is its index */
  constructor(tokens: readonly string[]) {
    const order = Uint32Array.from(tokens.keys()).sort((a, b) =>
      at(tokens, a) < at(tokens, b) ? -1 : 1,
    );
    const size = 1 + countPrefixes(tokens, order);
    this.#first = new Int32Array(size + 1);
    this.#units = new Uint16Array(size);
    this.#values = new Int32Array(size).fill(-1);
    // Of each node, the range of the ordered tokens that go through it.
    const from = new Uint32Array(size);
    const to = new Uint32Array(size);
    to[0] = order.length;
    let nodes = 1;
    let levelEnd = 1;
    for (let node = 0, depth = 0; node < nodes; node++) {
      if (node === levelEnd) {
        depth++;
        levelEnd = nodes;
      }
      this.#first[node] = nodes;
      const end = at(to, node);
      let index = at(from, node);
      const own = order[index];
      if (own !== undefined && index < end && at(tokens, own).length === depth) {
        this.#values[node] = own;
        index++;
      }
      while (index < end) {
        const unit = at(tokens, at(order, index)).charCodeAt(depth);
        from[nodes] = index;
        while (index < end && at(tokens, at(order, index)).charCodeAt(depth) === unit) {
          index++;
        }
        to[nodes] = index;
        this.#units[nodes] = unit;
        if (node === 0) this.#roots[unit] = nodes;
        nodes++;
      }
    }
    this.#first[nodes] = nodes;
  }

  /** The node that a code unit leads to from a node (0: the root); 0: none. */
  step(node: number, unit: number): number {
    if (node === 0) return this.#roots[unit] ?? 0;
    let low = this.#first[node] ?? 0;
    const end = this.#first[node + 1] ?? 0;
    let high = end;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#units[middle] ?? 0) < unit) low = middle + 1;
      else high = middle;
    }
    return low < end && this.#units[low] === unit ? low : 0;
  }

  /** The value of the token that ends at a node; −1: none does. */
  value(node: number): number {
    return this.#values[node] ?? -1;
  }

  /** Code units of the longest token that `text` has at `position`; 0: none. */
  longest(text: string, position: number): number {
    let longest = 0;
    let node = 0;
    for (let end = position; end < text.length;) {
      node = this.step(node, text.charCodeAt(end));
      if (node === 0) break;
      end++;
      if (this.value(node) >= 0) longest = end - position;
    }
    return longest;
  }
}

/** Distinct prefixes of ordered tokens, which are the nodes of their trie beside the root. */
function countPrefixes(tokens: readonly string[], order: Uint32Array): number {
  let count = 0;
  let previous = '';
  for (const index of order) {
    const token = at(tokens, index);
    let common = 0;
    while (
      common < token.length &&
      common < previous.length &&
      token.charCodeAt(common) === previous.charCodeAt(common)
    ) {
      common++;
    }
    count += token.length - common;
    previous = token;
  }
  return count;
}
