/**
 * Initial values of parameters. Each function fills its tensor in place, sampling from a generator;
 * with null instead of one the tensor stays unchanged, for weights that will be loaded.
 */
import { noGrad } from '../autograd.js';
import { Operator } from '../operator.js';
import { add_, clamp_, mul_, zero_ } from '../ops/in-place.js';
import { normal_, uniform_ } from '../ops/random.js';
import type { Generator } from '../random.js';
import type { Tensor } from '../tensor.js';

const erfinvOp = new Operator('aten::erfinv_');

/** Inputs and outputs of one unit: with kernels, times the locations of the kernel. */
function fans(weight: Tensor): { fanIn: number; fanOut: number } {
  const [outputs = 1, inputs = 1, ...kernel] = weight.shape;
  const locations = kernel.reduce((product, length) => product * length, 1);
  return { fanIn: inputs * locations, fanOut: outputs * locations };
}

/** U(−bound, bound) */
function uniformInit<T extends Tensor>(x: T, bound: number, generator: Generator | null): T {
  if (generator !== null) noGrad(() => uniform_(x, generator, { low: -bound, high: bound }));
  return x;
}

/** 0 */
export function zerosInit(x: Tensor | null): void {
  if (x !== null) noGrad(() => zero_(x));
}

/** N(mean, std²) */
export function normalInit<T extends Tensor>(
  x: T,
  generator: Generator | null,
  { mean = 0, std = 1 }: { mean?: number; std?: number } = {},
): T {
  if (generator !== null) noGrad(() => normal_(x, generator, { mean, std }));
  return x;
}

/** Φ(z) of the standard normal distribution, by the error function's series or continued fraction. */
function normalCdf(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  let tail: number;
  if (x < 3) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * sum; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    tail = 0.5 - sum / Math.sqrt(Math.PI);
  } else {
    let fraction = 0;
    for (let n = 60; n > 0; n--) fraction = n / 2 / (x + fraction);
    tail = Math.exp(-x * x) / (2 * Math.sqrt(Math.PI) * (x + fraction));
  }
  return z < 0 ? tail : 1 - tail;
}

/**
 * N(mean, std²) cut to [low, high], by inverting the distribution function:
 * mean + std·√2·erf⁻¹(u), u ~ U(2Φ((low − mean)/std) − 1, 2Φ((high − mean)/std) − 1).
 */
export function truncatedNormalInit<T extends Tensor>(
  x: T,
  generator: Generator | null,
  {
    mean = 0,
    std = 1,
    low = -2,
    high = 2,
  }: { mean?: number; std?: number; low?: number; high?: number } = {},
): T {
  if (generator === null) return x;
  const uniformBound = (bound: number): number => 2 * normalCdf((bound - mean) / std) - 1;
  noGrad(() => {
    uniform_(x, generator, { low: uniformBound(low), high: uniformBound(high) });
    erfinvOp.inPlace(x);
    add_(mul_(x, std * Math.SQRT2), mean);
    clamp_(x, { min: low, max: high });
  });
  return x;
}

/** U(−b, b), b = 1/√fanIn: PyTorch's default of linear and convolution layers, weights and biases. */
export function fanInInit<T extends Tensor>(
  x: T,
  generator: Generator | null,
  { weight = x }: { weight?: Tensor } = {},
): T {
  return uniformInit(x, 1 / Math.sqrt(fans(weight).fanIn), generator);
}

/** U(−b, b), b = √(6/(fanIn + fanOut)) (Glorot and Bengio 2010, eq. 16). */
export function xavierUniformInit<T extends Tensor>(weight: T, generator: Generator | null): T {
  const { fanIn, fanOut } = fans(weight);
  return uniformInit(weight, Math.sqrt(6 / (fanIn + fanOut)), generator);
}
