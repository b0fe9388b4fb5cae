/** Batch normalisation, with what follows it in residual networks. */
import { noGrad } from '../autograd.js';
import { Operator } from '../operator.js';
import { scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { add, div, mul, rsqrt, sub } from './arithmetic.js';
import { full } from './create.js';
import { copy_ } from './in-place.js';
import { relu as rectify } from './neural.js';
import { cat, narrow, reshape, to } from './shape.js';

const batchNormOp = new Operator('bantam::batch_norm');
const dropNormedOp = new Operator('bantam::drop_normed');
const varMeanOp = new Operator('aten::var_mean', 'correction');

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

/**
 * Has the gradient of a convolution or an average pooling make its input again from what {@link batchNorm}
 * keeps for its own, where the input is a result of Bantam's kernel without a residual: one map less in
 * memory for one more pass over it.
 *
 * @returns whether it will.
 */
export function dropNormed(made: Tensor, normed: Tensor): boolean {
  return dropNormedOp.boolean(made, normed);
}

/**
 * {@link batchNorm} in training with the statistics of a whole batch of which each process has a part, x. The
 * sums over the parts, which `sumOver` computes within the graph, are exact enough in float64
 * for the variance to be E[x²] − E[x]².
 *
 * Composed of libtorch's operators, float32 at least.
 */
export function batchNormOverParts(
  x: Tensor,
  options: Omit<BatchNormOptions, 'training'> & {
    /** Σ over the processes of a vector [2C + 1], with gradients. */
    readonly sumOver: (x: Tensor) => Tensor;
  },
): Tensor {
  const { weight, bias, runningMean, runningVar, sumOver } = options;
  const { momentum = 0.1, eps = 1e-5, residual = null, relu = false } = options;
  return scope(() => {
    const wide = x.dtype === 'float64' ? x : to(x, { dtype: 'float32' });
    const { dtype, device } = wide;
    const channels = wide.dim(1);
    const rows = wide.size / channels;
    const dim = wide.shape.flatMap((_, d) => (d === 1 ? [] : [d]));
    const [ownVariance, ownMean] = varMeanOp
      .tensors(wide, dim, 0, false)
      .map((statistic) => to(statistic, { dtype: 'float64' })) as [Tensor, Tensor];
    const squares = add(ownVariance, mul(ownMean, ownMean));
    const count = full([1], rows, { dtype: 'float64', device });
    const sums = sumOver(cat([mul(ownMean, rows), mul(squares, rows), count]));
    const total = narrow(sums, 0, 2 * channels, 1);
    const mean = div(narrow(sums, 0, 0, channels), total);
    const variance = sub(div(narrow(sums, 0, channels, channels), total), mul(mean, mean));
    if (momentum > 0) {
      noGrad(() => {
        const unbiased = mul(variance, div(total, sub(total, 1)));
        const follow = (average: Tensor, now: Tensor): void => {
          copy_(average, add(mul(average, 1 - momentum), mul(now, momentum)));
        };
        follow(runningMean, mean);
        follow(runningVar, unbiased);
      });
    }
    const perChannel = wide.shape.map((_, d) => (d === 1 ? channels : 1));
    const spread = (vector: Tensor): Tensor => reshape(to(vector, { dtype }), perChannel);
    const scale = mul(weight, rsqrt(add(variance, eps)));
    // Far from zero, x·scale would lose the digits that x − mean keeps.
    const scaled = mul(sub(wide, spread(mean)), spread(scale));
    // Times one, so that its gradient has memory of its own: with one value per channel, `add` and the residual hand
    // the same memory to both biases, which autograd then writes into twice.
    const normed = add(scaled, spread(mul(bias, 1)));
    // Rounded once, as in one pass.
    const summed = residual === null ? normed : add(normed, to(residual, { dtype }));
    return to(relu ? rectify(summed) : summed, { dtype: x.dtype });
  });
}
