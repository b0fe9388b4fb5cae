import type { PeerSettings, Workload } from './protocol.js';
import type { Trial } from './results.js';
import { startPeer, type SideOptions } from './sides.js';

/** The peer as OpenCLIP's documentation uses it. */
export const plainSettings: PeerSettings = {
  weights: 'fp32',
  fusedAdamW: false,
  compile: false,
  channelsLast: false,
  mathAttention: false,
  keepMemory: false,
};

/** A change of settings that may make the peer faster. */
type Change = Partial<PeerSettings>;

/** The changes that apply to a workload, in the order in which they are tried. */
export function changesFor(workload: Workload, { compile }: { compile: boolean }): Change[] {
  if (workload.kind === 'load') return [];
  const { kind, precision } = workload;
  return [
    ...(kind === 'train' ? [{ fusedAdamW: true }] : []),
    ...(kind !== 'train' && precision === 'bf16' ? [{ weights: 'bf16' } as const] : []),
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

/** Steps whose fastest counts. */
const trialSteps = 2;

/**
 * The peer's best settings for a workload: each change is tried alone on top of the best so far, in
 * a process of its own, and kept when the fastest of a few steps is faster.
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
    await peer.ask({ op: 'run', steps: 1 });
    const times: number[] = [];
    for (let i = 0; i < trialSteps; i++) {
      times.push((await peer.ask({ op: 'run', steps: 1 })).seconds);
    }
    return { settings, seconds: Math.min(...times) };
  } catch (error) {
    return {
      settings,
      seconds: null,
      error: error instanceof Error ? error.message : String(error),
    };
  }
}
