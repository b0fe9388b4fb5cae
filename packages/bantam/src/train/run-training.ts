import { Loader, type Source } from '../data/index.js';
import { describeModel, saveModel, type LoadedModel } from '../models/index.js';
import type { Tokenizer } from '../text/index.js';
import { listCheckpoints, readCheckpoint, writeCheckpoint, type Checkpoint } from './checkpoint.js';
import type { TrainConfig } from './config.js';
import { createTrainer, type TrainerSetup } from './create-trainer.js';
import type { TrainEvent, TrainResult } from './events.js';
import { copyInitialWeights, type InitialModels } from './initialize.js';
import { MetricsWriter } from './metrics.js';
import { loadSize } from './pieces.js';
import { resolvePrecision } from './precision.js';
import { Recovery } from './recovery.js';
import { runPaths } from './run-directory.js';
import { createStrategy } from './strategies/index.js';
import type { Strategy } from './strategy.js';
import { StuckLoss } from './stuck-loss.js';
import { checkpointParts } from './trainer.js';

/** What `train()` and `resumeTraining()` report to and listen to. */
export interface TrainControl {
  /** Stops training after the current step, with a checkpoint. */
  signal?: AbortSignal;
  onEvent?: (event: TrainEvent) => void;
}

/** A run with everything that its configuration names. */
export interface Run {
  /** Its directory. */
  readonly run: string;
  readonly config: TrainConfig;
  readonly source: Source;
  readonly tokenizer: Tokenizer;
  /** Freed as soon as their weights are copied. */
  readonly initial: InitialModels;
  /** Those that the strategy works with. */
  readonly models: readonly LoadedModel[];
  /** The checkpoint to go on from. */
  readonly checkpoint?: string | undefined;
}

/** What a run works with while it lasts. */
interface Session extends Run, TrainControl, Omit<TrainerSetup, keyof Disposable> {
  readonly strategy: Strategy;
  readonly loader: Loader;
  readonly note: (message: string) => void;
}

/** Trains until the budget is used or the signal comes, with metrics and checkpoints on the way. */
export async function runTraining(run: Run, control: TrainControl): Promise<TrainResult> {
  const { config, source, tokenizer, initial, models } = run;
  const note = (message: string): void => control.onEvent?.({ kind: 'note', message });
  source.notes?.forEach(note);
  const strategy = createStrategy(config, { samples: source.size, models });
  const loader = new Loader(source, {
    batchSize: loadSize(config.train),
    unitSize: config.train.batchSize,
    views: strategy.views(config.augment),
    size: config.preprocess.size,
    seed: config.seed,
    workers: config.train.workers,
    quarantine: { path: runPaths(run.run).quarantine },
  });
  try {
    using setup = createTrainer(config, {
      strategy,
      tokenizer,
      loader,
      initialize: (model) => {
        copyInitialWeights(initial, model, config.init);
        initial[Symbol.dispose]();
      },
    });
    const session = { ...run, ...control, ...setup, strategy, loader, note };
    resume(session);
    await prepare(session);
    announce(session);
    const recovery = createRecovery(session);
    const interrupted = await takeSteps(session, recovery);
    const result = { ...resultOf(session), skipped: recovery.count, interrupted };
    return interrupted ? result : { ...result, model: await saveTrained(session) };
  } finally {
    await loader.close();
  }
}

/** Goes on from the run's checkpoint, where there is one. */
function resume(session: Session): void {
  const { checkpoint, trainer, note } = session;
  if (checkpoint === undefined) return;
  withCheckpoint(session, checkpoint, (read) => {
    trainer.restore(read);
  });
  note(`Continuing from step ${trainer.step} (${checkpoint}).`);
}

/** Reads a checkpoint for a while. */
function withCheckpoint(
  { ema, strategy }: Session,
  path: string,
  use: (checkpoint: Checkpoint) => void,
): void {
  const checkpoint = readCheckpoint(path, checkpointParts({ ema, strategy }));
  use(checkpoint);
  for (const part of Object.values(checkpoint.tensors)) {
    for (const tensor of part.values()) tensor.dispose();
  }
}

function createRecovery(session: Session): Recovery {
  const { run, config, trainer, note } = session;
  return new Recovery({
    path: runPaths(run).nonFinite,
    resumedAt: trainer.spent.samples,
    maxSkips: config.train.maxSkips,
    onNote: note,
    rollBack: () => {
      const path = listCheckpoints(run).at(-1);
      if (path === undefined) return null;
      withCheckpoint(session, path, ({ tensors }) => {
        trainer.restoreWeights(tensors);
      });
      return path;
    },
  });
}

async function prepare(session: Session): Promise<void> {
  const { config, source, strategy, loader, model, signal, onEvent } = session;
  await strategy.prepare?.({
    model,
    source,
    preprocess: config.preprocess,
    precision: resolvePrecision(config.train.precision),
    batchSize: Math.min(256, loadSize(config.train)),
    quarantine: loader.quarantine,
    exclude: (indices) => {
      loader.exclude(indices);
    },
    signal,
    onProgress: (message) => onEvent?.({ kind: 'preparing', message }),
  });
}

function announce({ run, config, source, model, groups, onEvent }: Session): void {
  onEvent?.({
    kind: 'start',
    run,
    model: describeModel(config.model),
    parameters: model.parameters().reduce((sum, { size }) => sum + size, 0),
    samples: source.size,
    precision: resolvePrecision(config.train.precision),
    batchSize: config.train.batchSize,
    budget: config.budget,
    groups,
  });
}

/**
 * Drives the trainer, and saves a checkpoint at the end; returns whether the signal came before the
 * budget was used.
 */
async function takeSteps(session: Session, recovery: Recovery): Promise<boolean> {
  const { run, config, strategy, model, trainer, signal, onEvent, note } = session;
  const { batchSize, checkpointMinutes } = config.train;
  const metrics = new MetricsWriter(run, { resumedAt: trainer.step });
  const stuck = new StuckLoss();
  let saved = performance.now();
  try {
    for await (const report of trainer.run()) {
      if (report.kind === 'skip') {
        recovery.skip(report);
      } else {
        const { row, progress, etaSeconds } = report;
        recovery.take();
        metrics.write(row);
        onEvent?.({ kind: 'step', progress, etaSeconds, ...row });
        const collapsed = strategy.collapsed(batchSize, model);
        const diagnosis = stuck.observe({ ...row, progress, collapsed });
        if (diagnosis !== null) note(diagnosis);
      }
      if (signal?.aborted === true) break;
      if (performance.now() - saved > checkpointMinutes * 60_000) {
        saveCheckpoint(session, recovery);
        saved = performance.now();
      }
    }
  } finally {
    metrics.close();
  }
  saveCheckpoint(session, recovery);
  return trainer.progress < 1;
}

/** Saves a checkpoint. It never holds weights that are not finite: those before come back first. */
function saveCheckpoint(session: Session, recovery: Recovery): void {
  const { run, config, trainer, onEvent } = session;
  if (!trainer.hasFiniteWeights()) recovery.goBack('the weights are not finite', trainer.step);
  const path = writeCheckpoint(run, trainer.checkpoint(), config.train.keepCheckpoints);
  onEvent?.({ kind: 'checkpoint', path, step: trainer.step });
}

function resultOf({ run, trainer, loader }: Session): Omit<TrainResult, 'interrupted' | 'skipped'> {
  const { step, spent, loss } = trainer;
  return {
    run,
    steps: step,
    samples: spent.samples,
    seconds: spent.seconds,
    loss,
    quarantined: loader.quarantine.count,
  };
}

/** Saves the model directory of a finished run; returns its path. */
async function saveTrained(session: Session): Promise<string> {
  const { run, config, tokenizer, model, ema, trainer } = session;
  if (ema !== null) model.loadStateDict(ema.state());
  const path = runPaths(run).model;
  await saveModel(path, {
    config: config.model,
    model,
    tokenizer,
    preprocess: config.preprocess,
    info: {
      strategy: config.strategy.type,
      data: config.data,
      seed: config.seed,
      steps: trainer.step,
      samplesSeen: trainer.spent.samples,
      trainingSeconds: trainer.spent.seconds,
    },
  });
  return path;
}
