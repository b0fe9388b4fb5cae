/** Batch normalisation, with what follows it in residual networks. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';

const batchNormOp = new Operator('bantam::batch_norm');

/** Options of {@link batchNorm}. */
export interface BatchNormOptions {
  weight: Tensor;
  bias: Tensor;
  /** Changed in place while training. */
  runningMean: Tensor;
  /** Changed in place while training (unbiased variance). */
  runningVar: Tensor;
  /** Normalise with the batch's own statistics. */
  training: boolean;
  /** Weight of the newest batch in the running statistics. Default 0.1. */
  momentum?: number;
  /** Default 1e-5. */
  eps?: number;
  /** Added to the normalised x, of its shape. Default null. */
  residual?: Tensor | null;
  /** End with max(·, 0). Default false. */
  relu?: boolean;
}

/**
 * (x − mean)/√(variance + eps)·weight + bias per channel of [N, C, *], plus `residual`, through max(·, 0)
 * where asked for.
 *
 * A kernel of our own does all of it in one go for float32 and bfloat16 maps [N, C, H, W] in the CPU's
 * channels-last memory (`channelsLast`); others take libtorch's operators one by one.
 */
export function batchNorm(x: Tensor, options: BatchNormOptions): Tensor {
  const { weight, bias, runningMean, runningVar, training } = options;
  const { momentum = 0.1, eps = 1e-5, residual = null, relu = false } = options;
  return batchNormOp.tensor(
    x,
    weight,
    bias,
    runningMean,
    runningVar,
    residual,
    relu,
    training,
    momentum,
    eps,
  );
}
