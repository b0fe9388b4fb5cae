import { writeFileSync } from 'node:fs';
import { Loader, type Source } from '../data/index.js';
import { describeModel, saveModel, type LoadedModel } from '../models/index.js';
import type { Tokenizer } from '../text/index.js';
import { readCheckpoint, writeCheckpoint } from './checkpoint.js';
import type { TrainConfig } from './config.js';
import { createTrainer, type TrainerSetup } from './create-trainer.js';
import type { TrainEvent, TrainResult } from './events.js';
import { copyInitialWeights, type InitialModels } from './initialize.js';
import { MetricsWriter } from './metrics.js';
import { loadSize } from './pieces.js';
import { resolvePrecision } from './precision.js';
import type { ReinforcedSet } from './reinforced/reinforced-set.js';
import { runPaths } from './run-directory.js';
import { createStrategy } from './strategies/index.js';
import type { Strategy } from './strategy.js';
import { StuckLoss } from './stuck-loss.js';
import { checkpointParts, NonFiniteError } from './trainer.js';

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
  readonly reinforced: ReinforcedSet | null;
  /** The checkpoint to go on from. */
  readonly checkpoint?: string | undefined;
}

/** What a run works with while it lasts. */
interface Session extends Run, TrainControl, Omit<TrainerSetup, keyof Disposable> {
  readonly strategy: Strategy;
  readonly loader: Loader;
}

/** Trains until the budget is used or the signal comes, with metrics and checkpoints on the way. */
export async function runTraining(run: Run, control: TrainControl): Promise<TrainResult> {
  const { config, source, tokenizer, initial, models, reinforced } = run;
  for (const message of source.notes ?? []) control.onEvent?.({ kind: 'note', message });
  const strategy = createStrategy(config, { samples: source.size, models, reinforced });
  const loader = new Loader(source, {
    batchSize: loadSize(config.train),
    unitSize: config.train.batchSize,
    views: strategy.views(config.augment),
    size: config.preprocess.size,
    seed: config.seed,
    workers: config.train.workers,
    ...(strategy.replay && { replay: strategy.replay }),
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
    const session = { ...run, ...control, ...setup, strategy, loader };
    restore(session);
    await prepare(session);
    announce(session);
    const interrupted = await takeSteps(session);
    saveCheckpoint(session);
    const result = { ...resultOf(session), interrupted };
    return interrupted ? result : { ...result, model: await saveTrained(session) };
  } finally {
    await loader.close();
  }
}

function restore({ checkpoint: path, trainer, ema, strategy, onEvent }: Session): void {
  if (path === undefined) return;
  const checkpoint = readCheckpoint(path, checkpointParts({ ema, strategy }));
  trainer.restore(checkpoint);
  for (const part of Object.values(checkpoint.tensors)) {
    for (const tensor of part.values()) tensor.dispose();
  }
  onEvent?.({ kind: 'note', message: `Continuing from step ${trainer.step} (${path}).` });
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

/** Drives the trainer; returns whether the signal came before the budget was used. */
async function takeSteps(session: Session): Promise<boolean> {
  const { run, config, strategy, model, trainer, signal, onEvent } = session;
  const { batchSize, checkpointMinutes } = config.train;
  const metrics = new MetricsWriter(run, { resumedAt: trainer.step });
  const stuck = new StuckLoss();
  let saved = performance.now();
  try {
    for await (const { progress, etaSeconds, ...row } of trainer.run()) {
      metrics.write(row);
      onEvent?.({ kind: 'step', progress, etaSeconds, ...row });
      const collapsed = strategy.collapsed(batchSize, model);
      const diagnosis = stuck.observe({ ...row, progress, collapsed });
      if (diagnosis !== null) onEvent?.({ kind: 'note', message: diagnosis });
      if (signal?.aborted === true) return progress < 1;
      if (performance.now() - saved > checkpointMinutes * 60_000) {
        saveCheckpoint(session);
        saved = performance.now();
      }
    }
    return false;
  } catch (error) {
    if (error instanceof NonFiniteError) {
      writeFileSync(runPaths(run).nonFinite, `${JSON.stringify(error.keys, null, 2)}\n`);
    }
    throw error;
  } finally {
    metrics.close();
  }
}

function saveCheckpoint({ run, config, trainer, onEvent }: Session): void {
  const path = writeCheckpoint(run, trainer.checkpoint(), config.train.keepCheckpoints);
  onEvent?.({ kind: 'checkpoint', path, step: trainer.step });
}

function resultOf({ run, trainer, loader }: Session): Omit<TrainResult, 'interrupted'> {
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
