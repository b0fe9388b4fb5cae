import { at } from '@bantam/torch/at';
import type { Checked, WorkloadPrecision } from './protocol.js';
import { relativeDifference } from './statistics.js';

/** That of a workload; `q8`: int8 beside the graphs of ONNX Runtime's dynamic quantization. */
export type ComparedPrecision = WorkloadPrecision | 'q8';

/** Largest accepted differences between two implementations. */
interface Tolerance {
  /** Relative, of each loss of the first training steps. */
  readonly loss: number;
  /** Relative, of the gradient's norm in the first step. */
  readonly gradNorm: number;
  /** Absolute, of each component of features of length 1. */
  readonly feature: number;
  /** Absolute, of the channel means of images that were augmented at random. */
  readonly channelMean: number;
}

/**
 * fp32: rounding of sums in another order. bf16 keeps 8 bits of each product's result, and the
 * implementations round at different steps. int8 keeps 7 bits of each operand, with one scale for a row;
 * q8 has one scale for all rows of a batch.
 */
export const tolerances: Readonly<Record<ComparedPrecision, Tolerance>> = {
  fp32: { loss: 1e-5, gradNorm: 1e-3, feature: 2e-5, channelMean: 0.05 },
  bf16: { loss: 5e-3, gradNorm: 2e-2, feature: 1e-2, channelMean: 0.05 },
  int8: { loss: 0, gradNorm: 0, feature: 2e-2, channelMean: 0 },
  q8: { loss: 0, gradNorm: 0, feature: 5e-2, channelMean: 0 },
};

/** Result of a comparison. */
export interface Agreement {
  readonly agrees: boolean;
  /** The largest difference of each quantity that both implementations gave. */
  readonly differences: Partial<Record<keyof Tolerance, number>>;
}

/** Float32 values from base64. */
export function decodeFloats(text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/** Compares results on the same inputs against the precision's tolerance. */
export function compare(
  bantam: Checked,
  baseline: Checked,
  precision: ComparedPrecision,
): Agreement {
  const differences: Partial<Record<keyof Tolerance, number>> = {};
  if (bantam.losses !== undefined) {
    differences.loss = largest(bantam.losses, baseline.losses, relativeDifference);
    // Later norms differ by what the first steps made of the weights.
    const [ours = NaN] = bantam.gradNorms ?? [];
    const [theirs = NaN] = baseline.gradNorms ?? [];
    differences.gradNorm = relativeDifference(ours, theirs);
  }
  const apart = (a: number, b: number): number => Math.abs(a - b);
  if (bantam.features !== undefined) {
    const [ours, theirs] = [bantam.features, baseline.features ?? ''].map(decodeFloats);
    differences.feature = largest(ours ?? [], theirs, apart);
  }
  if (bantam.channelMeans !== undefined) {
    differences.channelMean = largest(bantam.channelMeans, baseline.channelMeans, apart);
  }
  const tolerance = tolerances[precision];
  const compared = Object.entries(differences) as [keyof Tolerance, number][];
  return {
    // NaN is never within a tolerance.
    agrees: compared.length > 0 && compared.every(([name, value]) => value <= tolerance[name]),
    differences,
  };
}

/** The largest difference of two lists; infinite for different lengths, NaN if one value is. */
function largest(
  ours: ArrayLike<number>,
  theirs: ArrayLike<number> | undefined,
  difference: (a: number, b: number) => number,
): number {
  if (ours.length === 0 || theirs?.length !== ours.length) return Infinity;
  let most = 0;
  for (let i = 0; i < ours.length; i++) {
    const one = difference(at(ours, i), at(theirs, i));
    if (Number.isNaN(one)) return NaN;
    most = Math.max(most, one);
  }
  return most;
}
