import type { PeerSettings, Workload } from './protocol.js';
import type { Trial } from './results.js';
import { startPeer, type SideOptions } from './workers.js';

/** The peer as OpenCLIP's documentation uses it. */
export const plainSettings: PeerSettings = {
  weights: 'fp32',
  fusedAdamW: false,
  compile: false,
  channelsLast: false,
  mathAttention: false,
  keepMemory: false,
};

/** What trials on processors with bf16 units mostly end with: for where none are made. */
export function usualSettings(workload: Workload): PeerSettings {
  if (workload.kind === 'load') return plainSettings;
  const { kind, precision } = workload;
  const bf16 = precision !== 'fp32';
  return {
    ...plainSettings,
    weights: bf16 && kind !== 'train' ? 'bf16' : 'fp32',
    fusedAdamW: kind === 'train',
    mathAttention: bf16,
  };
}

/** A change of settings that may make the peer faster. */
type Change = Partial<PeerSettings>;

/** The changes that apply to a workload, in the order in which they are tried. */
export function changesFor(workload: Workload, { compile }: { compile: boolean }): Change[] {
  if (workload.kind === 'load') return [];
  const { kind, precision } = workload;
  return [
    ...(kind === 'train' ? [{ fusedAdamW: true }] : []),
    ...(kind !== 'train' && precision !== 'fp32' ? [{ weights: 'bf16' } as const] : []),
    { mathAttention: true },
    { keepMemory: true },
    ...(kind === 'text' ? [] : [{ channelsLast: true }]),
    ...(compile ? [{ compile: true }] : []),
  ];
}

/** Options of {@link findBestSettings}. */
export interface TrialOptions extends SideOptions {
  readonly python: string;
  readonly compile: boolean;
  /** Told before each trial. */
  readonly onTrial: (settings: PeerSettings) => void;
}

/** A trial takes about so many seconds, and at least two steps; the fastest of them counts. */
const trialSeconds = 2;
const mostSteps = 20;

/**
 * The peer's best settings for a workload: each change is tried alone on top of the best so far, in
 * a process of its own, and kept when its fastest step is faster.
 */
export async function findBestSettings(
  workload: Workload,
  options: TrialOptions,
): Promise<{ settings: PeerSettings; trials: Trial[] }> {
  const trials: Trial[] = [];
  const attempt = async (settings: PeerSettings): Promise<number> => {
    options.onTrial(settings);
    const trial = await tryOut(workload, settings, options);
    trials.push(trial);
    return trial.seconds ?? Infinity;
  };
  let settings = plainSettings;
  let best = await attempt(settings);
  for (const change of changesFor(workload, options)) {
    const changed = { ...settings, ...change };
    const seconds = await attempt(changed);
    if (seconds < best) {
      best = seconds;
      settings = changed;
    }
  }
  return { settings, trials };
}

async function tryOut(
  workload: Workload,
  settings: PeerSettings,
  options: TrialOptions,
): Promise<Trial> {
  await using peer = startPeer(options.python, options, settings);
  try {
    await peer.ask({ op: 'open', workload, settings });
    // The first step fills caches, and compiles.
    await peer.ask({ op: 'run', steps: 1 });
    let [fastest, spent] = [Infinity, 0];
    for (let step = 0; step < 2 || (spent < trialSeconds && step < mostSteps); step++) {
      const { seconds } = await peer.ask({ op: 'run', steps: 1 });
      fastest = Math.min(fastest, seconds);
      spent += seconds;
    }
    return { settings, seconds: fastest };
  } catch (error) {
    return {
      settings,
      seconds: null,
      error: error instanceof Error ? error.message : String(error),
    };
  }
}
