import { checkpoint, scope, type Tensor } from '@bantam/torch';

let checkpointing = false;

/**
 * Runs `body`, in which every block of every tower is a {@link checkpoint} where `enabled` says so: its
 * activations are computed again in the backward pass instead of kept.
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
 * `block(...inputs)`, whose intermediates are let go at its end; the autograd graph keeps those that it
 * needs, or none under {@link withGradCheckpointing}. Inputs may be of any kind.
 */
export function runBlock<Inputs extends readonly unknown[], Result>(
  block: (...inputs: Inputs) => Result,
  ...inputs: Inputs
): Result {
  return scope(() => (checkpointing ? checkpoint(block, inputs) : block(...inputs)));
}

/** {@link runBlock} for blocks one after the other. */
export function runBlocks<Block>(
  blocks: readonly Block[],
  x: Tensor,
  forward: (block: Block, x: Tensor) => Tensor,
): Tensor {
  return blocks.reduce((y, block) => runBlock((y: Tensor) => forward(block, y), y), x);
}
