import { BantamError } from '../../packages/bantam/dist/base/errors.js';
import { compare, type Agreement } from './agreement.js';
import type { Checked, PeerSettings, Workload, WorkloadPrecision } from './protocol.js';
import type { Round, Slice } from './results.js';
import { startBantam, startPeer, type SideOptions } from './sides.js';
import { machineCpuSeconds, type WorkerProcess } from './worker-process.js';

/** Options of {@link measureInTurn}. */
export interface MeasureOptions extends SideOptions {
  readonly workload: Workload;
  /** What tolerance applies to the results of both sides. */
  readonly precision: WorkloadPrecision;
  /** Null measures Bantam alone. */
  readonly peer: { readonly python: string; readonly settings: PeerSettings } | null;
  readonly rounds: number;
  /** Each side's turn takes about this long, and at least one step. */
  readonly sliceSeconds: number;
  /** Whether to measure the matrix-product rate in each round; there is none of int8. */
  readonly rate: boolean;
  readonly onRound: (round: number) => void;
}

/** What {@link measureInTurn} gives. */
export interface Measured {
  readonly agreement: Agreement | null;
  readonly rounds: readonly Round[];
  readonly peakBytes: { readonly bantam: number | null; readonly peer: number | null };
}

/** The share of a slice that the idle side may compute: more would slow the other one down. */
const idleShare = 0.05;

/**
 * Runs a workload on both sides, each in a process of its own: first the same first steps, whose
 * results are compared, then slices in turn, one side idling while the other works.
 *
 * @throws BantamError when both compute different things, or the idle side does not idle.
 */
export async function measureInTurn(options: MeasureOptions): Promise<Measured> {
  const { workload, peer: peerOptions, precision } = options;
  await using bantam = startBantam(options);
  await using peer = peerOptions && startPeer(peerOptions.python, options, peerOptions.settings);
  await bantam.ask({ op: 'open', workload });
  const ours = await bantam.ask({ op: 'check' });
  let theirs: Checked | null = null;
  if (peer !== null && peerOptions !== null) {
    await peer.ask({ op: 'open', workload, settings: peerOptions.settings });
    theirs = await peer.ask({ op: 'check' });
  }
  const agreement = theirs && compare(ours, theirs, precision);
  if (agreement?.agrees === false) {
    throw new BantamError(
      `Bantam and the peer do not compute the same (${describe(agreement)}), so there is no figure.`,
    );
  }
  const rounds: Round[] = [];
  for (let round = 0; round < options.rounds; round++) {
    options.onRound(round);
    const bantamSlice = await runSlice(bantam, peer, stepsFor(ours, options));
    const peerSlice = peer && theirs && (await runSlice(peer, bantam, stepsFor(theirs, options)));
    const gflops =
      options.rate && precision !== 'int8'
        ? (await bantam.ask({ op: 'rate', precision, seconds: 0.5 })).gflops
        : null;
    rounds.push({ bantam: bantamSlice, peer: peerSlice, gflops });
  }
  const peakBytes = {
    bantam: (await bantam.ask({ op: 'memory' })).peakBytes,
    peer: peer && (await peer.ask({ op: 'memory' })).peakBytes,
  };
  return { agreement, rounds, peakBytes };
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
    const then = before[i] ?? null;
    return after === null || then === null ? null : after - then;
  });
  // The clock of processor time ticks every hundredth of a second.
  if (othersCpuSeconds !== null && othersCpuSeconds > Math.max(0.05, seconds * idleShare)) {
    throw new BantamError(
      `The idle side used ${othersCpuSeconds.toFixed(2)} s of the processor in ${seconds.toFixed(2)} s of the other's turn, so there is no figure.`,
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
