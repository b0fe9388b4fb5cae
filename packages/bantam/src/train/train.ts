import { writeFileSync } from 'node:fs';
import { onDevice } from '@bantam/torch';
import { Loader, openSource, resolveAugment, type Source } from '../data/index.js';
import { BantamError } from '../errors.js';
import { describeModel, paddedAs, saveModel, type ModelConfig } from '../models/index.js';
import { loadTokenizer, type Tokenizer } from '../text/index.js';
import { listCheckpoints, readCheckpoint, writeCheckpoint } from './checkpoint.js';
import { freshWeights, type TrainConfig, type TrainSettings } from './config.js';
import { createTrainer } from './create-trainer.js';
import type { TrainEvent, TrainResult } from './events.js';
import { checkInitialWeights, copyInitialWeights, loadInitialModels } from './initialize.js';
import { MetricsWriter } from './metrics.js';
import { resolvePrecision } from './precision.js';
import { resolveConfig, type RunOptions } from './resolve-config.js';
import { createRun, readRunConfig, runPaths, writeRunConfig } from './run-directory.js';
import { createStrategy } from './strategies/index.js';
import { StuckLoss } from './stuck-loss.js';
import { prepareTokenizer } from './tokenizer.js';
import { checkpointParts, loadSize, NonFiniteError, type Trainer } from './trainer.js';

/** What {@link train} and {@link resumeTraining} report to and listen to. */
export interface TrainControl {
  /** Stops training after the current step, with a checkpoint. */
  signal?: AbortSignal;
  onEvent?: (event: TrainEvent) => void;
}

/** Options of {@link train}. */
export interface TrainOptions extends RunOptions, TrainControl {
  /** The run directory; must not hold a run. */
  out: string;
}

/**
 * Trains a model and saves it as a model directory in `out`, with metrics, checkpoints and the whole
 * configuration beside it.
 *
 * @throws UsageError for a wrong option; BantamError when data, folder or numbers fail.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { out, init = '', initImage = '' } = options;
  using initial = await loadInitialModels({ model: init, image: initImage });
  const config = resolveConfig(options, initial.model?.config ?? null);
  const source = await openSource(options.data);
  if (config.augment.length === 0) config.augment = resolveAugment(source.augment);
  Object.assign(config.train, fitBatch(config.train, source, options));
  // A strategy that does not go with the model says so before there is a run.
  onDevice('meta', () => createStrategy(config, { samples: source.size }));
  const tokenizer = await prepareTokenizer(config, source, initial.model?.tokenizer);
  config.tokenizer.contextLength = tokenizer.contextLength;
  config.model = fitText(config.model, tokenizer);
  checkInitialWeights(initial, config);
  createRun(out);
  await tokenizer.save(runPaths(out).tokenizer);
  writeRunConfig(out, config);
  return await runTraining(out, config, source, tokenizer, options);
}

/** Continues the run in a run directory from its last checkpoint, or from its start. */
export async function resumeTraining(
  run: string,
  control: TrainControl = {},
): Promise<TrainResult> {
  const config = readRunConfig(run);
  const source = await openSource(config.data);
  const { contextLength } = config.tokenizer;
  const tokenizer = await loadTokenizer(runPaths(run).tokenizer, { contextLength });
  return runTraining(run, config, source, tokenizer, control);
}

/** The configuration with the tokenizer's vocabulary, context and padding. */
function fitText(config: ModelConfig, tokenizer: Tokenizer): ModelConfig {
  const { vocabSize, contextLength } = tokenizer;
  return paddedAs({ ...config, text: { ...config.text, vocabSize, contextLength } }, tokenizer);
}

/** A set smaller than the batch is one batch; one smaller than its pieces is one piece. */
function fitBatch(
  { batchSize, microBatch }: TrainSettings,
  source: Source,
  { onEvent }: TrainControl,
): Pick<TrainSettings, 'batchSize' | 'microBatch'> {
  const samples = source.grouping?.count ?? source.size;
  if (samples >= batchSize) return { batchSize, microBatch };
  const piece = microBatch > samples ? 0 : microBatch;
  const available = piece === 0 ? samples : samples - (samples % piece);
  if (available < 2) {
    throw new BantamError(
      `${source.spec} has ${samples} sample, but contrastive training needs at least 2; add images.`,
    );
  }
  onEvent?.({
    kind: 'note',
    message: `The batch is ${available} of the ${samples} samples of ${source.spec} instead of ${batchSize}.`,
  });
  return { batchSize: available, microBatch: piece };
}

async function runTraining(
  run: string,
  config: TrainConfig,
  source: Source,
  tokenizer: Tokenizer,
  { signal, onEvent }: TrainControl,
): Promise<TrainResult> {
  for (const message of source.notes ?? []) onEvent?.({ kind: 'note', message });
  const paths = runPaths(run);
  const { train: settings, seed } = config;
  const strategy = createStrategy(config, { samples: source.size });
  const loader = new Loader(source, {
    batchSize: loadSize(settings),
    unitSize: settings.batchSize,
    views: strategy.views(config.augment),
    size: config.preprocess.size,
    seed,
    workers: settings.workers,
    quarantine: { path: paths.quarantine },
  });
  const latest = listCheckpoints(run).at(-1);
  using initial = await loadInitialModels(latest === undefined ? config.init : freshWeights);
  using setup = createTrainer(config, {
    strategy,
    tokenizer,
    loader,
    initialize: (model) => {
      copyInitialWeights(initial, model, config.init);
    },
  });
  const { trainer, model, ema, groups } = setup;
  if (latest !== undefined) {
    const checkpoint = readCheckpoint(latest, checkpointParts({ ema, strategy }));
    trainer.restore(checkpoint);
    for (const part of Object.values(checkpoint.tensors)) {
      for (const tensor of part.values()) tensor.dispose();
    }
    onEvent?.({ kind: 'note', message: `Continuing from step ${trainer.step} (${latest}).` });
  }
  await strategy.prepare?.({
    model,
    source,
    preprocess: config.preprocess,
    precision: resolvePrecision(settings.precision),
    batchSize: Math.min(256, loadSize(settings)),
    quarantine: loader.quarantine,
    exclude: (indices) => {
      loader.exclude(indices);
    },
    signal,
    onProgress: (message) => onEvent?.({ kind: 'preparing', message }),
  });
  const metrics = new MetricsWriter(run, { resumedAt: trainer.step });
  onEvent?.({
    kind: 'start',
    run,
    model: describeModel(config.model),
    parameters: model.parameters().reduce((sum, { size }) => sum + size, 0),
    samples: source.size,
    precision: resolvePrecision(settings.precision),
    batchSize: settings.batchSize,
    budget: config.budget,
    groups,
  });

  const save = (): void => {
    const path = writeCheckpoint(run, trainer.checkpoint(), settings.keepCheckpoints);
    onEvent?.({ kind: 'checkpoint', path, step: trainer.step });
  };
  const stuck = new StuckLoss();
  let saved = performance.now();
  let interrupted = false;
  try {
    for await (const { progress, etaSeconds, ...row } of trainer.run()) {
      metrics.write(row);
      onEvent?.({ kind: 'step', progress, etaSeconds, ...row });
      const collapsed = strategy.collapsed(settings.batchSize, model);
      const diagnosis = stuck.observe({ ...row, progress, collapsed });
      if (diagnosis !== null) onEvent?.({ kind: 'note', message: diagnosis });
      if (signal?.aborted === true) {
        interrupted = progress < 1;
        break;
      }
      if (performance.now() - saved > settings.checkpointMinutes * 60_000) {
        save();
        saved = performance.now();
      }
    }
  } catch (error) {
    if (error instanceof NonFiniteError) {
      writeFileSync(paths.nonFinite, `${JSON.stringify(error.keys, null, 2)}\n`);
    }
    throw error;
  } finally {
    metrics.close();
    await loader.close();
  }
  save();
  const result: TrainResult = {
    run,
    steps: trainer.step,
    samples: trainer.spent.samples,
    seconds: trainer.spent.seconds,
    loss: trainer.loss,
    interrupted,
    quarantined: loader.quarantine.count,
  };
  if (interrupted) return result;
  if (ema !== null) model.loadStateDict(ema.state());
  await saveModel(paths.model, {
    config: config.model,
    model,
    tokenizer,
    preprocess: config.preprocess,
    info: { strategy: config.strategy.type, data: config.data, seed, ...trainingFacts(trainer) },
  });
  return { ...result, model: paths.model };
}

function trainingFacts({ step, spent }: Trainer): Record<string, number> {
  return { steps: step, samplesSeen: spent.samples, trainingSeconds: spent.seconds };
}
