import type { LearnReply, OptimizerNumbers } from './protocol.js';
import type { AccuracyResult, Learned } from './results.js';
import type { Session } from './session.js';
import { TemporaryFolder } from './temporary-folder.js';
import type { WorkerProcess } from './worker-process.js';
import { startBantam, startBaseline } from './workers.js';
import { usualSettings } from './trials.js';

/** AdamW as `open_clip_train` sets it for ViTs. */
export const usualOptimizer: OptimizerNumbers = {
  lr: 5e-4,
  beta1: 0.9,
  beta2: 0.98,
  eps: 1e-6,
  weightDecay: 0.2,
};

/** Options of {@link measureAccuracy}. */
export interface AccuracyOptions extends Session {
  readonly model: string;
  /** A source of image files with captions. */
  readonly data: string;
  /** Seconds of training. */
  readonly seconds: number;
  readonly batch: number;
  /** Workers of each loader. */
  readonly workers: number;
  /** Fraction of the images that are held out. */
  readonly heldOut: number;
  readonly repetitions: number;
  readonly onProgress: (what: string) => void;
}

/**
 * Trains a model in both implementations, one after the other, for the same time on the same pairs from
 * the same initial weights, and compares retrieval on held-out pairs; each repetition has another seed.
 */
export async function measureAccuracy(options: AccuracyOptions): Promise<AccuracyResult> {
  const { model, seconds, batch, repetitions, onProgress } = options;
  const measured: AccuracyResult['repetitions'][number][] = [];
  let pairs = { train: 0, heldOut: 0 };
  for (let seed = 0; seed < repetitions; seed++) {
    using temporary = new TemporaryFolder();
    const folder = temporary.path;
    const told = (what: string): void => {
      onProgress(`${what}, repetition ${seed + 1} of ${repetitions}`);
    };
    told('splitting the data');
    pairs = await inProcess(startBantam(options), (worker) =>
      worker.ask({
        op: 'pairs',
        folder,
        model,
        data: options.data,
        heldOut: options.heldOut,
        seed,
      }),
    );
    told('Bantam trains');
    const bantam = await learnIn(startBantam(options), { folder, seed }, options);
    told('the baseline trains');
    const baseline =
      options.baseline &&
      (await learnIn(startUsual(options.baseline.python, options), { folder, seed }, options));
    measured.push({ bantam, baseline });
  }
  return { model, seconds, batch, pairs, repetitions: measured };
}

/** The baseline with the settings that mostly win the trials of training. */
function startUsual(python: string, options: AccuracyOptions): WorkerProcess {
  const workload = {
    kind: 'train',
    precision: 'bf16',
    device: 'cpu',
    folder: '',
    optimizer: usualOptimizer,
  } as const;
  return startBaseline(python, options, { ...usualSettings(workload), keepMemory: true });
}

async function learnIn(
  process: WorkerProcess,
  where: { readonly folder: string; readonly seed: number },
  options: AccuracyOptions,
): Promise<Learned> {
  const { model, seconds, batch, workers } = options;
  const { samples, image, text }: LearnReply = await inProcess(process, (worker) =>
    worker.ask({
      op: 'learn',
      ...where,
      ...{ model, seconds, batch, workers },
      optimizer: usualOptimizer,
    }),
  );
  const recalls = await inProcess(startBantam(options), (worker) =>
    worker.ask({ op: 'recalls', folder: where.folder, image, text }),
  );
  return { samples, recalls };
}

async function inProcess<Result>(
  process: WorkerProcess,
  body: (worker: WorkerProcess) => Promise<Result>,
): Promise<Result> {
  await using worker = process;
  return await body(worker);
}
