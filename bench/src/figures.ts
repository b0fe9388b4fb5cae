/** The numbers that tables and images show, computed from what was measured. */
import type { CaseResult, Learned, Repetition, Slice } from './results.js';
import { median, spread, type Spread } from './statistics.js';

/** The figures of a case. */
export interface Figures {
  /** Medians over the repetitions. */
  readonly bantam: number;
  readonly baseline: number | null;
  /** Bantam's samples/s over the baseline's in the same repetition. */
  readonly ratio: Spread | null;
  /** The same by CPU time, which other programs disturb less. */
  readonly cpuRatio: Spread | null;
  /**
   * Time that the matrix products alone would take at the machine's rate, over the time taken; the
   * products of the model's definition, texts at their real lengths. Null for cases without a model.
   */
  readonly productFraction: number | null;
  /** Bantam's peak memory over the baseline's. */
  readonly memoryRatio: number | null;
  /** The largest fraction of the CPUs that other programs used during a slice. */
  readonly disturbance: number | null;
}

/** FLOPs per sample of a case's step. */
export function flopsPerSample({ kind, prepared }: CaseResult): number | null {
  if (prepared === null || kind === 'load') return null;
  const { image, text } = prepared.flops;
  if (kind === 'image') return image;
  if (kind === 'text') return text;
  // The backward pass computes two products for each of the forward pass.
  return 3 * (image + text);
}

function samplesPerSecond({ samplesPerStep }: CaseResult, { steps, seconds }: Slice): number {
  return (samplesPerStep * steps) / seconds;
}

/** Medians, ratios and fractions of a case on a machine of `cores`. */
export function figuresOf(result: CaseResult, cores: number): Figures {
  const { repetitions, peakBytes } = result;
  const pairs = repetitions.flatMap(({ bantam, baseline }) =>
    baseline === null ? [] : [{ bantam, baseline }],
  );
  const bantam = repetitions.map((repetition) => samplesPerSecond(result, repetition.bantam));
  const ratios = pairs.map(
    (pair) => samplesPerSecond(result, pair.bantam) / samplesPerSecond(result, pair.baseline),
  );
  const cpuRatios = pairs.flatMap(({ bantam: ours, baseline: theirs }) => {
    const [one, other] = [cpuPerStep(ours), cpuPerStep(theirs)];
    return one === null || other === null || one === 0 ? [] : [other / one];
  });
  return {
    bantam: median(bantam),
    baseline:
      pairs.length === 0
        ? null
        : median(pairs.map(({ baseline }) => samplesPerSecond(result, baseline))),
    ratio: ratios.length === 0 ? null : spread(ratios),
    cpuRatio: cpuRatios.length === 0 ? null : spread(cpuRatios),
    productFraction: productFractionOf(result),
    memoryRatio:
      peakBytes.bantam === null || peakBytes.baseline === null
        ? null
        : peakBytes.bantam / peakBytes.baseline,
    disturbance: disturbanceOf(repetitions, cores),
  };
}

function cpuPerStep({ cpuSeconds, steps }: Slice): number | null {
  return cpuSeconds === null ? null : cpuSeconds / steps;
}

/** Median over the repetitions, each at its own rate. */
function productFractionOf(result: CaseResult): number | null {
  const flops = flopsPerSample(result);
  if (flops === null) return null;
  const fractions = result.repetitions.flatMap(({ bantam, gflops }) =>
    gflops === null ? [] : [(samplesPerSecond(result, bantam) * flops) / (gflops * 1e9)],
  );
  return fractions.length === 0 ? null : median(fractions);
}

function disturbanceOf(repetitions: readonly Repetition[], cores: number): number | null {
  const fractions = repetitions
    .flatMap(({ bantam, baseline }) => (baseline === null ? [bantam] : [bantam, baseline]))
    .flatMap(({ foreignCpuSeconds, seconds }) =>
      foreignCpuSeconds === null ? [] : [foreignCpuSeconds / seconds / cores],
    );
  return fractions.length === 0 ? null : Math.max(...fractions);
}

/** Recall by chance at 1 and 10 among so many pairs. */
export function chanceRecalls(pairs: number): readonly [number, number] {
  return [1 / pairs, Math.min(1, 10 / pairs)];
}

/** The mean of both directions at 1 and at 10. */
export function meanRecalls({ recalls }: Learned): readonly [number, number] {
  return [(recalls.image1 + recalls.text1) / 2, (recalls.image10 + recalls.text10) / 2];
}
