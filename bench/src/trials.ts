import type { BaselineSettings, Workload } from './protocol.js';
import type { Trial } from './results.js';
import { startBaseline, type WorkerOptions } from './workers.js';

/** The baseline as OpenCLIP's documentation uses it. */
export const plainSettings: BaselineSettings = {
  weights: 'fp32',
  fusedAdamW: false,
  compile: false,
  channelsLast: false,
  mathAttention: false,
  keepMemory: false,
};

/** The usual result of trials, on CPUs with bf16 instructions and on GPUs, for runs without trials. */
export function usualSettings(workload: Workload): BaselineSettings {
  if (workload.kind === 'load') return plainSettings;
  const { kind, precision, device } = workload;
  const bf16 = precision !== 'fp32';
  return {
    ...plainSettings,
    weights: bf16 && kind !== 'train' ? 'bf16' : 'fp32',
    fusedAdamW: kind === 'train',
    mathAttention: bf16 && device === 'cpu',
  };
}

/** A change of settings that may make the baseline faster. */
type Change = Partial<BaselineSettings>;

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
export interface TrialOptions extends WorkerOptions {
  readonly python: string;
  readonly compile: boolean;
  /** Told before each trial. */
  readonly onTrial: (settings: BaselineSettings) => void;
}

/** A trial takes about so many seconds, and at least two steps; the fastest of them counts. */
const trialSeconds = 2;
const mostSteps = 20;

/**
 * The baseline's best settings for a workload: each change is tried alone on top of the best so far, in
 * a process of its own, and kept when its fastest step is faster.
 */
export async function findBestSettings(
  workload: Workload,
  options: TrialOptions,
): Promise<{ settings: BaselineSettings; trials: Trial[] }> {
  const trials: Trial[] = [];
  const attempt = async (settings: BaselineSettings): Promise<number> => {
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
  settings: BaselineSettings,
  options: TrialOptions,
): Promise<Trial> {
  await using baseline = startBaseline(options.python, options, settings);
  try {
    await baseline.ask({ op: 'open', workload, settings });
    // The first step fills caches, and compiles.
    await baseline.ask({ op: 'run', steps: 1 });
    let [fastest, elapsed] = [Infinity, 0];
    for (let step = 0; step < 2 || (elapsed < trialSeconds && step < mostSteps); step++) {
      const { seconds } = await baseline.ask({ op: 'run', steps: 1 });
      fastest = Math.min(fastest, seconds);
      elapsed += seconds;
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
