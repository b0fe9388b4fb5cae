import { writeFileSync } from 'node:fs';
import {
  Loader,
  openSource,
  resolveAugment,
  type ImageAugment,
  type Source,
} from '../data/index.js';
import { BantamError } from '../errors.js';
import {
  describeModel,
  modelConfig,
  parseModelConfig,
  preprocessOf,
  saveModel,
  type ModelConfig,
} from '../models/index.js';
import { loadTokenizer, type Tokenizer } from '../text/index.js';
import { parseBudget } from './budget.js';
import { listCheckpoints, readCheckpoint, writeCheckpoint } from './checkpoint.js';
import {
  applySettings,
  defaultTokenizerSettings,
  defaultTrainSettings,
  type TrainConfig,
} from './config.js';
import { createTrainer } from './create-trainer.js';
import type { TrainEvent, TrainResult } from './events.js';
import { MetricsWriter } from './metrics.js';
import { resolvePrecision } from './precision.js';
import { createRun, readRunConfig, runPaths, writeRunConfig } from './run-directory.js';
import { strategyByName } from './strategies/index.js';
import { prepareTokenizer } from './tokenizer.js';
import { checkpointParts, NonFiniteError, type Trainer } from './trainer.js';

/** What {@link train} and {@link resumeTraining} report to and listen to. */
export interface TrainControl {
  /** Stops training after the current step, with a checkpoint. */
  signal?: AbortSignal;
  onEvent?: (event: TrainEvent) => void;
}

/** Options of {@link train}. */
export interface TrainOptions extends TrainControl {
  /** A preset's name, or a configuration. */
  model: string | ModelConfig;
  /** Source specification, such as `emoji` or `csv:pairs.csv`. */
  data: string;
  /** The run directory; must not hold a run. */
  out: string;
  /** When to stop, such as `5m` or `100ksamples`; see {@link parseBudget}. */
  budget: string;
  /** Default `clip`. */
  strategy?: string;
  /** Default 0. */
  seed?: number;
  /** A tokenizer's path; by default one is trained on the captions. */
  tokenizer?: string;
  /** Default: the source's own. */
  augment?: ImageAugment;
  /** Further settings by name, such as `{ 'train.lr': '1e-3' }`. */
  settings?: Readonly<Record<string, string>>;
}

/**
 * Trains a model from scratch and saves it as a model directory in `out`, with metrics,
 * checkpoints and the whole configuration beside it.
 *
 * @throws UsageError for a wrong option; BantamError when data, folder or numbers fail.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { model, data, out, budget, seed = 0 } = options;
  parseBudget(budget);
  strategyByName(options.strategy ?? 'clip');
  const named = typeof model === 'string' ? modelConfig(model) : model;
  const source = await openSource(data);
  const config = applySettings(
    {
      model: named,
      strategy: options.strategy ?? 'clip',
      data,
      budget,
      seed,
      train: { ...defaultTrainSettings },
      tokenizer: { ...defaultTokenizerSettings, path: options.tokenizer ?? '' },
      preprocess: preprocessOf(named),
      augment: options.augment ?? source.augment,
    },
    options.settings ?? {},
  );
  // Whatever is wrong with the settings is said before there is a run.
  config.model = parseModelConfig(config.model);
  config.augment = resolveAugment(config.augment);
  config.preprocess = { ...config.preprocess, size: config.model.vision.imageSize };
  createRun(out);
  const tokenizer = await prepareTokenizer(config.tokenizer, source, seed);
  config.model = fitText(config.model, tokenizer);
  config.train.batchSize = fitBatch(config.train.batchSize, source, options);
  await tokenizer.save(runPaths(out).tokenizer);
  writeRunConfig(out, config);
  return runTraining(out, config, source, tokenizer, options);
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

/** The configuration with the tokenizer's vocabulary and context. */
function fitText(config: ModelConfig, { vocabSize, contextLength }: Tokenizer): ModelConfig {
  return { ...config, text: { ...config.text, vocabSize, contextLength } };
}

/** A set smaller than the batch is one batch. */
function fitBatch(batchSize: number, source: Source, { onEvent }: TrainControl): number {
  const available = source.grouping?.count ?? source.size;
  if (available >= batchSize) return batchSize;
  if (available < 2) {
    throw new BantamError(
      `${source.spec} has ${available} sample, but contrastive training needs at least 2; add images.`,
    );
  }
  onEvent?.({
    kind: 'note',
    message: `The batch is all ${available} samples of ${source.spec} instead of ${batchSize}.`,
  });
  return available;
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
  const strategy = strategyByName(config.strategy);
  const { train: settings, seed } = config;
  const loader = new Loader(source, {
    batchSize: settings.batchSize,
    views: strategy.views(config.augment),
    size: config.preprocess.size,
    seed,
    workers: settings.workers,
    quarantine: { path: paths.quarantine },
  });
  using setup = createTrainer(config, { tokenizer, loader });
  const { trainer, model, ema, groups } = setup;
  const latest = listCheckpoints(run).at(-1);
  if (latest !== undefined) {
    const checkpoint = readCheckpoint(latest, checkpointParts(ema !== null));
    trainer.restore(checkpoint);
    for (const part of Object.values(checkpoint.tensors)) {
      for (const tensor of part.values()) tensor.dispose();
    }
    onEvent?.({ kind: 'note', message: `Continuing from step ${trainer.step} (${latest}).` });
  }
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
  let saved = performance.now();
  let interrupted = false;
  try {
    for await (const { progress, etaSeconds, ...row } of trainer.run()) {
      metrics.write(row);
      onEvent?.({ kind: 'step', progress, etaSeconds, ...row });
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
    info: { strategy: config.strategy, data: config.data, seed, ...trainingFacts(trainer) },
  });
  return { ...result, model: paths.model };
}

function trainingFacts({ step, spent }: Trainer): Record<string, number> {
  return { steps: step, samplesSeen: spent.samples, trainingSeconds: spent.seconds };
}
