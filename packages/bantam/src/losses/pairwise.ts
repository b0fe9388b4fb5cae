import { fromTypedArray, indexAdd, indexSelect, ones, to, zeros, type Tensor } from '@bantam/torch';
import { BantamError } from '../base/errors.js';

/** Options of the losses over all pairs of image and text of a batch. */
export interface PairwiseOptions {
  /**
   * int64 [B]: rows with the same number are positives of each other, as are pairs with the same
   * caption or the same image. Default: each pair is its own group.
   */
  groups?: Tensor | undefined;
  /**
   * Work through so many texts at a time, so that [B, chunk] logits are in memory, never [B, B];
   * value and gradients are the same. Default: all at once up to a batch of 2048; beyond it, as many
   * as keep within the logits of that batch.
   */
  chunk?: number | undefined;
}

/** Features of a batch of pairs, each row of length 1. */
export interface PairFeatures {
  /** X [B, D] */
  readonly image: Tensor;
  /** Y [B, D] */
  readonly text: Tensor;
}

/** Features with the scale that makes their cosines logits. */
export interface ScaledFeatures extends PairFeatures {
  /** s, the exponential of a learned parameter, or a fixed number. */
  readonly logitScale: Tensor | number;
}

/** Consecutive rows. */
export interface Block {
  readonly start: number;
  readonly length: number;
}

/** The most logits at a time without a chunk: 16 MB in float32. */
const defaultLogits = 2048 ** 2;

/** The rows of a batch in blocks of `chunk`, the last of which may be shorter. */
export function blocksOf(
  batch: number,
  chunk: number = Math.max(1, Math.floor(defaultLogits / batch)),
): Block[] {
  if (!Number.isInteger(chunk) || chunk < 1) {
    throw new BantamError(`The loss's chunk is ${chunk}; give a whole number of rows from 1 up.`);
  }
  return Array.from({ length: Math.ceil(batch / chunk) }, (_, i) => {
    const start = i * chunk;
    return { start, length: Math.min(chunk, batch - start) };
  });
}

/** @throws BantamError unless there is one number per pair. */
export function checkGroups(groups: Tensor, batch: number): void {
  if (groups.rank === 1 && groups.dim(0) === batch) return;
  throw new BantamError(
    `The loss got groups of shape [${groups.shape.join(', ')}] for ${batch} pairs; give one number per pair.`,
  );
}

/** Each row's positives, added up. */
export interface Positives {
  /** Σ of the features over the rows of its group [B, D]. */
  readonly sums: Tensor;
  /** Rows of its group [B, 1]. */
  readonly sizes: Tensor;
}

/** The positives of each row; without groups, the row alone. */
export function positivesOf(features: Tensor, groups: Tensor | undefined): Positives {
  const { dtype, device } = features;
  const batch = features.dim(0);
  const one = ones([batch, 1], { dtype, device });
  if (groups === undefined) return { sums: features, sizes: one };
  checkGroups(groups, batch);
  const slots = new Map<string, bigint>();
  const slotOfRow = Array.from(groups.toTypedArray(), (group: number | bigint) => {
    const slot = slots.get(String(group)) ?? BigInt(slots.size);
    slots.set(String(group), slot);
    return slot;
  });
  const rows = to(fromTypedArray(BigInt64Array.from(slotOfRow)), { device });
  const perRow = (x: Tensor): Tensor => {
    const perGroup = indexAdd(zeros([slots.size, x.dim(1)], { dtype, device }), 0, rows, x);
    return indexSelect(perGroup, 0, rows);
  };
  return { sums: perRow(features), sizes: perRow(one) };
}
