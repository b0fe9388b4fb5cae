import { arange, eq, full, narrow, unsqueeze, type Tensor } from '@bantam/torch';
import { BantamError } from '../errors.js';

/** Options of the losses over all pairs of image and text of a batch. */
export interface PairwiseOptions {
  /**
   * int64 [B]: rows with the same number are positives of each other, as are pairs with the same
   * caption or the same picture. Default: each pair is its own group.
   */
  groups?: Tensor | undefined;
  /**
   * Work through so many texts at a time, so that [B, chunk] logits are in memory, never [B, B];
   * value and gradients are the same, each logit is computed once more for it. Default: all at once.
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

/** Features with the factor that makes their cosines logits. */
export interface ScaledFeatures extends PairFeatures {
  /** s, the exponential of a learned parameter, or a fixed number. */
  readonly logitScale: Tensor | number;
}

/** A run of rows. */
export interface Block {
  readonly start: number;
  readonly length: number;
}

/** The rows of a batch in blocks of `chunk`, the last of which may be shorter. */
export function blocksOf(batch: number, chunk: number = batch): Block[] {
  if (!Number.isInteger(chunk) || chunk < 1) {
    throw new BantamError(`The loss's chunk is ${chunk}; give a whole number of rows from 1 up.`);
  }
  return Array.from({ length: Math.ceil(batch / chunk) }, (_, i) => {
    const start = i * chunk;
    return { start, length: Math.min(chunk, batch - start) };
  });
}

/** The group of each row: those given, or its place. */
export function groupsOf(features: Tensor, groups: Tensor | undefined): Tensor {
  const batch = features.dim(0);
  if (groups === undefined) return arange(batch, { device: features.device });
  if (groups.rank !== 1 || groups.dim(0) !== batch) {
    throw new BantamError(
      `The loss got groups of shape [${groups.shape.join(', ')}] for ${batch} pairs; give one number per pair.`,
    );
  }
  return groups;
}

/** Whether image i and text j of the block are positives: boolean [B, length]. */
export function positives(groups: Tensor, { start, length }: Block): Tensor {
  return eq(unsqueeze(groups, 1), unsqueeze(narrow(groups, 0, start, length), 0));
}

/** A number as a scalar beside features; a tensor as it is. */
export function scalar(value: Tensor | number, { dtype, device }: Tensor): Tensor {
  return typeof value === 'number' ? full([], value, { dtype, device }) : value;
}
