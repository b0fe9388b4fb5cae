import {
  bernoulli,
  checkpoint,
  div,
  mul,
  ones,
  scope,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';

let checkpointing = false;

/**
 * Runs `body` with gradient checkpointing of every block of every tower if `enabled`: its activations
 * are computed again in the backward pass instead of kept, see {@link checkpoint}.
 */
export function withGradCheckpointing<Result>(enabled: boolean, body: () => Result): Result {
  const before = checkpointing;
  checkpointing = enabled;
  try {
    return body();
  } finally {
    checkpointing = before;
  }
}

/**
 * `block(...inputs)` in a scope of its own, which frees its intermediates; the autograd graph keeps
 * those that it needs, or none under {@link withGradCheckpointing}. Inputs may be of any kind.
 */
export function runBlock<Inputs extends readonly unknown[], Result>(
  block: (...inputs: Inputs) => Result,
  ...inputs: Inputs
): Result {
  return scope(() => (checkpointing ? checkpoint(block, inputs) : block(...inputs)));
}

/** {@link runBlock} for a stack of blocks. */
export function runBlocks<Block>(
  blocks: readonly Block[],
  x: Tensor,
  forward: (block: Block, x: Tensor) => Tensor,
): Tensor {
  return blocks.reduce((y, block) => runBlock((y: Tensor) => forward(block, y), y), x);
}

/**
 * Stochastic depth (Huang et al. 2016): a residual branch [B, …] is skipped for a fraction `rate` of
 * the samples, and the others are scaled by 1/(1 − rate).
 *
 * @throws BantamError if `rate` is above 0 and there is no generator.
 */
export function dropPath(
  branch: Tensor,
  { rate, generator }: { rate: number; generator: Generator | undefined },
): Tensor {
  if (rate === 0) return branch;
  if (generator === undefined) {
    throw new BantamError(
      'Stochastic depth needs a random stream; pass a generator to encodeImage.',
    );
  }
  const { dtype, device } = branch;
  const shape = branch.shape.map((length, dim) => (dim === 0 ? length : 1));
  const kept = bernoulli(ones(shape, { dtype, device }), 1 - rate, generator);
  return mul(branch, div(kept, 1 - rate));
}

/** A rate for each block of each stage: from 0 at the first to `last`, evenly. */
export function dropPathRates(depths: readonly number[], last: number): number[][] {
  const total = depths.reduce((sum, depth) => sum + depth, 0);
  let block = 0;
  return depths.map((depth) =>
    Array.from({ length: depth }, () => (last * block++) / Math.max(1, total - 1)),
  );
}
