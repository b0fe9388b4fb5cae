import {
  add,
  at,
  bmm,
  copy_,
  dims,
  indexSelect,
  keep,
  mul,
  narrow,
  permute,
  reshape,
  scope,
  softmax,
  transpose,
  unbind,
  zeros,
  type Tensor,
} from '@bantam/torch';

/** [B, L, W] → [B·heads, L, W/heads] */
export function splitHeads(x: Tensor, heads: number): Tensor {
  const [batch, length, width] = dims(x, 3);
  const depth = width / heads;
  const apart = permute(reshape(x, [batch, length, heads, depth]), [0, 2, 1, 3]);
  return reshape(apart, [batch * heads, length, depth]);
}

/**
 * Queries, keys and values per head from their joint projection: [B, L, 3·W] →
 * [B·heads, L, W/heads] each.
 */
export function splitQkv(joint: Tensor, heads: number): [q: Tensor, k: Tensor, v: Tensor] {
  const [batch, length, width] = dims(joint, 3);
  const depth = width / 3 / heads;
  const byPart = permute(reshape(joint, [batch, length, 3, heads, depth]), [2, 0, 3, 1, 4]);
  const parts = unbind(byPart, 0);
  const part = (i: number) => reshape(at(parts, i), [batch * heads, length, depth]);
  return [part(0), part(1), part(2)];
}

/** The inverse of {@link splitHeads}. */
export function joinHeads(x: Tensor, heads: number): Tensor {
  const [rows, length, depth] = dims(x, 3);
  const batch = rows / heads;
  const together = permute(reshape(x, [batch, heads, length, depth]), [0, 2, 1, 3]);
  return reshape(together, [batch, length, heads * depth]);
}

/**
 * softmax(q·kᵀ/√d + bias)·v (Vaswani et al. 2017, eq. 1), as two batched products: q [N, Lq, d], k and
 * v [N, L, d], bias as it broadcasts to [N, Lq, L] → [N, Lq, d].
 */
export function attendHeads(q: Tensor, k: Tensor, v: Tensor, bias?: Tensor): Tensor {
  const scores = bmm(mul(q, q.dim(2) ** -0.5), transpose(k, 1, 2));
  return bmm(softmax(bias === undefined ? scores : add(scores, bias), -1), v);
}

/** {@link attendHeads} per head: q [B, Lq, W], k and v [B, L, W] → [B, Lq, W]. */
export function attend(q: Tensor, k: Tensor, v: Tensor, heads: number): Tensor {
  const split = (x: Tensor) => splitHeads(x, heads);
  return joinHeads(attendHeads(split(q), split(k), split(v)), heads);
}

/** FLOPs of {@link attend} for one sequence: 4·Lq·L·W. */
export function attendFlops({
  queries,
  tokens,
  width,
}: {
  queries: number;
  tokens: number;
  width: number;
}): number {
  return 4 * queries * tokens * width;
}

/** Keys and values that an attention reads, per head: [B·heads, L, W/heads] each. */
export interface KeysAndValues {
  readonly keys: Tensor;
  readonly values: Tensor;
}

/**
 * Keys and values of the tokens that a causal attention has seen so far, so that a further token
 * costs no more than its own. Memory for the longest sequence is allocated at the first token.
 */
export class KeyValueCache implements Disposable {
  /** Longest sequence, in tokens. */
  readonly #length: number;
  #kept: KeysAndValues | null = null;
  #used = 0;

  constructor({ length }: { length: number }) {
    this.#length = length;
  }

  /** Appends those of one further token, [B·heads, 1, d], and returns all so far. */
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

  /** Replaces the sequences by those of `rows`, int64 [B·heads], among them. */
  reorder(rows: Tensor): void {
    if (this.#kept === null) return;
    for (const all of [this.#kept.keys, this.#kept.values]) {
      scope(() => {
        const filled = this.#filled(all);
        copy_(filled, indexSelect(filled, 0, rows));
      });
    }
  }

  #empty(first: Tensor): Tensor {
    const [rows, , depth] = dims(first, 3);
    const { dtype, device } = first;
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
