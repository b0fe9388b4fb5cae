/** The numbers that tables and pictures show, computed from what was measured. */
import type { CaseResult, Round, Slice } from './results.js';
import { median, spread, type Spread } from './statistics.js';

/** The figures of a case. */
export interface Figures {
  /** Medians over the rounds. */
  readonly bantam: number;
  readonly peer: number | null;
  /** Bantam's samples/s over the peer's in the same round. */
  readonly ratio: Spread | null;
  /** The same by processor time, which other programs disturb less. */
  readonly cpuRatio: Spread | null;
  /**
   * Time that the matrix products alone would take at the machine's rate, over the time taken; the
   * products of the model's definition, texts at their real lengths. Null where no model takes part.
   */
  readonly share: number | null;
  /** Bantam's peak memory over the peer's. */
  readonly memoryRatio: number | null;
  /** The largest share of the processors that other programs took during a slice. */
  readonly disturbance: number | null;
}

/** Operations per sample of a case's step. */
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

/** Medians, ratios and shares of a case on a machine of `cores`. */
export function figuresOf(result: CaseResult, cores: number): Figures {
  const { rounds, peakBytes } = result;
  const pairs = rounds.flatMap(({ bantam, peer }) => (peer === null ? [] : [{ bantam, peer }]));
  const bantam = rounds.map((round) => samplesPerSecond(result, round.bantam));
  const ratios = pairs.map(
    (pair) => samplesPerSecond(result, pair.bantam) / samplesPerSecond(result, pair.peer),
  );
  const cpuRatios = pairs.flatMap(({ bantam: ours, peer: theirs }) => {
    const [one, other] = [cpuPerStep(ours), cpuPerStep(theirs)];
    return one === null || other === null || one === 0 ? [] : [other / one];
  });
  return {
    bantam: median(bantam),
    peer:
      pairs.length === 0 ? null : median(pairs.map(({ peer }) => samplesPerSecond(result, peer))),
    ratio: ratios.length === 0 ? null : spread(ratios),
    cpuRatio: cpuRatios.length === 0 ? null : spread(cpuRatios),
    share: shareOf(result),
    memoryRatio:
      peakBytes.bantam === null || peakBytes.peer === null
        ? null
        : peakBytes.bantam / peakBytes.peer,
    disturbance: disturbanceOf(rounds, cores),
  };
}

function cpuPerStep({ cpuSeconds, steps }: Slice): number | null {
  return cpuSeconds === null ? null : cpuSeconds / steps;
}

/** Median over the rounds, each at its own rate. */
function shareOf(result: CaseResult): number | null {
  const flops = flopsPerSample(result);
  if (flops === null) return null;
  const shares = result.rounds.flatMap(({ bantam, gflops }) =>
    gflops === null ? [] : [(samplesPerSecond(result, bantam) * flops) / (gflops * 1e9)],
  );
  return shares.length === 0 ? null : median(shares);
}

function disturbanceOf(rounds: readonly Round[], cores: number): number | null {
  const shares = rounds
    .flatMap(({ bantam, peer }) => (peer === null ? [bantam] : [bantam, peer]))
    .flatMap(({ foreignCpuSeconds, seconds }) =>
      foreignCpuSeconds === null ? [] : [foreignCpuSeconds / seconds / cores],
    );
  return shares.length === 0 ? null : Math.max(...shares);
}
