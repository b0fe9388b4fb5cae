import { at } from '@bantam/torch/at';
import { BantamError } from 'bantam/internal';
import { compare, type Agreement, type ComparedPrecision } from './agreement.js';
import type { BaselineSettings, Checked, Workload } from './protocol.js';
import type { Repetition, Slice } from './results.js';
import { startBantam, type WorkerOptions } from './workers.js';
import { machineCpuSeconds, type WorkerProcess } from './worker-process.js';

/** An implementation that Bantam is compared with. */
export interface MeasuredBaseline {
  /** Starts its worker. */
  readonly start: () => WorkerProcess;
  /** Its workload, if it differs. */
  readonly workload?: Workload;
  readonly settings?: BaselineSettings;
}

/** Options of {@link measureAlternately}. */
export interface MeasureOptions extends WorkerOptions {
  readonly workload: Workload;
  /** Device of the rate of matrix products. */
  readonly device: string;
  /** Selects the tolerance for differing results. */
  readonly precision: ComparedPrecision;
  /** Null measures Bantam alone. */
  readonly baseline: MeasuredBaseline | null;
  readonly repetitions: number;
  /** each repetition takes about this long, and at least one step. */
  readonly sliceSeconds: number;
  /** Measure the rate of matrix products in each repetition; int8 has none. */
  readonly rate: boolean;
  readonly onRepetition: (repetition: number) => void;
}

/** Result of {@link measureAlternately}. */
export interface Measured {
  readonly agreement: Agreement | null;
  readonly repetitions: readonly Repetition[];
  readonly peakBytes: { readonly bantam: number | null; readonly baseline: number | null };
}

/** Fraction of a slice that the idle implementation may compute: more would slow the other one. */
const idleFraction = 0.05;

/**
 * Runs a workload on both implementations, each in a process of its own: first the same first steps, whose
 * results are compared, then slices alternately, one implementation idling while the other works.
 *
 * @throws BantamError when their results differ, or the idle implementation does not idle.
 */
export async function measureAlternately(options: MeasureOptions): Promise<Measured> {
  const { workload, baseline: baselineOptions, precision } = options;
  await using bantam = startBantam(options);
  await using baseline = baselineOptions?.start() ?? null;
  await bantam.ask({ op: 'open', workload });
  const ours = await bantam.ask({ op: 'check' });
  let theirs: Checked | null = null;
  if (baseline !== null && baselineOptions !== null) {
    const { settings } = baselineOptions;
    await baseline.ask({
      op: 'open',
      workload: baselineOptions.workload ?? workload,
      ...(settings && { settings }),
    });
    theirs = await baseline.ask({ op: 'check' });
  }
  const agreement = theirs && compare(ours, theirs, precision);
  if (agreement?.agrees === false) {
    throw new BantamError(
      `Bantam and the baseline do not compute the same (${describe(agreement)}), so there is no figure.`,
    );
  }
  const repetitions: Repetition[] = [];
  for (let repetition = 0; repetition < options.repetitions; repetition++) {
    options.onRepetition(repetition);
    const bantamSlice = await runSlice(bantam, baseline, stepsFor(ours, options));
    const baselineSlice =
      baseline && theirs && (await runSlice(baseline, bantam, stepsFor(theirs, options)));
    const gflops =
      options.rate && (precision === 'fp32' || precision === 'bf16')
        ? (await bantam.ask({ op: 'rate', precision, device: options.device, seconds: 0.5 })).gflops
        : null;
    repetitions.push({ bantam: bantamSlice, baseline: baselineSlice, gflops });
  }
  const peakBytes = {
    bantam: (await bantam.ask({ op: 'memory' })).peakBytes,
    baseline: baseline && (await baseline.ask({ op: 'memory' })).peakBytes,
  };
  return { agreement, repetitions, peakBytes };
}

function stepsFor({ seconds }: Checked, { sliceSeconds }: MeasureOptions): number {
  return Math.max(1, Math.round(sliceSeconds / seconds));
}

async function runSlice(
  worker: WorkerProcess,
  idle: WorkerProcess | null,
  steps: number,
): Promise<Slice> {
  const clocks = () => [worker.cpuSeconds(), idle?.cpuSeconds() ?? null, machineCpuSeconds()];
  const before = clocks();
  const { seconds } = await worker.ask({ op: 'run', steps });
  const [cpuSeconds = null, othersCpuSeconds = null, all = null] = clocks().map((after, i) => {
    const then = at(before, i);
    return after === null || then === null ? null : after - then;
  });
  // The clock of CPU time ticks every hundredth of a second.
  if (othersCpuSeconds !== null && othersCpuSeconds > Math.max(0.05, seconds * idleFraction)) {
    throw new BantamError(
      `The idle implementation used ${othersCpuSeconds.toFixed(2)} s of CPU time in ${seconds.toFixed(2)} s of the other's slice, so there is no figure.`,
    );
  }
  const foreignCpuSeconds =
    all === null || cpuSeconds === null
      ? null
      : Math.max(0, all - cpuSeconds - (othersCpuSeconds ?? 0));
  return { steps, seconds, cpuSeconds, othersCpuSeconds, foreignCpuSeconds };
}

/** `loss 1.2e-3, gradNorm 4.5e-2` */
function describe({ differences }: Agreement): string {
  return Object.entries(differences)
    .map(([name, value]) => `${name} differs by ${value.toExponential(1)}`)
    .join(', ');
}
