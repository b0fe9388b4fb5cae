import { copy_, indexSelect, keep, narrow, scope, zeros, type Tensor } from '@bantam/torch';
import type { KeysAndValues } from './cross-attention.js';

/**
 * Keys and values of the tokens that a causal attention has seen so far, so that a further token
 * costs no more than its own. Its memory is of one size from the first token on.
 */
export class KeyValueCache implements Disposable {
  /** The most tokens that it takes. */
  readonly #length: number;
  #kept: KeysAndValues | null = null;
  #used = 0;

  constructor({ length }: { length: number }) {
    this.#length = length;
  }

  /** Takes those of one more token, [B·heads, 1, d], and gives all so far. */
  append(key: Tensor, value: Tensor): KeysAndValues {
    const { keys, values } = (this.#kept ??= {
      keys: this.#empty(key),
      values: this.#empty(value),
    });
    copy_(narrow(keys, 1, this.#used, 1), key);
    copy_(narrow(values, 1, this.#used, 1), value);
    this.#used++;
    return { keys: this.#filled(keys), values: this.#filled(values) };
  }

  /** Goes on with other sequences in place of those so far: `rows` int64 [B·heads] are their places. */
  reorder(rows: Tensor): void {
    if (this.#kept === null) return;
    for (const all of Object.values(this.#kept) as Tensor[]) {
      scope(() => {
        const filled = this.#filled(all);
        copy_(filled, indexSelect(filled, 0, rows));
      });
    }
  }

  #empty({ shape, dtype, device }: Tensor): Tensor {
    const [rows, , depth] = shape as [number, number, number];
    return keep(zeros([rows, this.#length, depth], { dtype, device }));
  }

  #filled(all: Tensor): Tensor {
    return narrow(all, 1, 0, this.#used);
  }

  [Symbol.dispose](): void {
    this.#kept?.keys.dispose();
    this.#kept?.values.dispose();
    this.#kept = null;
  }
}
