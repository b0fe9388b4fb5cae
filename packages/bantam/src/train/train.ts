import { onDevice } from '@bantam/torch';
import { openSource, resolveAugment, type Source } from '../data/index.js';
import { BantamError } from '../errors.js';
import { paddedAs, type ModelConfig } from '../models/index.js';
import { loadTokenizer, type Tokenizer } from '../text/index.js';
import { nothingSpent, type Spent } from './budget.js';
import { listCheckpoints, readCheckpointState } from './checkpoint.js';
import { chooseModel, distinctImages } from './choose-model.js';
import { freshWeights, type TrainSettings } from './config.js';
import type { TrainResult } from './events.js';
import { checkInitialWeights, loadInitialModels } from './initialize.js';
import {
  planTraining,
  requireMemory,
  requireTime,
  type PlanOptions,
  type TrainingPlan,
} from './planning/index.js';
import { resolveConfig, type RunOptions } from './resolve-config.js';
import { createRun, readRunConfig, runPaths, writeRunConfig } from './run-directory.js';
import { runTraining, type Run, type TrainControl } from './run-training.js';
import { createStrategy } from './strategies/index.js';
import { loadStrategyModels } from './strategy-models.js';
import { longestCaption, prepareTokenizer } from './tokenizer.js';
import { validatorOf } from './validation.js';

/** Options of {@link train}. */
export interface TrainOptions extends RunOptions, TrainControl {
  /** The run directory; must not hold a run. */
  out: string;
}

/**
 * Trains a model and saves it as a model directory in `out`, with metrics, checkpoints and the whole
 * configuration beside it.
 *
 * @throws UsageError for a wrong option; BantamError when data, folder or numbers fail, or it would
 * not fit the memory or the time that there is.
 */
export async function train(options: TrainOptions): Promise<TrainResult> {
  const { out } = options;
  return prepared(options, async (parts) => {
    const { config, tokenizer } = parts;
    const planned = planOptions(parts, options);
    await requireMemory(config, planned);
    await requireTime(config, planned);
    createRun(out);
    await tokenizer.save(runPaths(out).tokenizer);
    writeRunConfig(out, config);
    return runTraining({ run: out, ...parts }, options);
  });
}

/**
 * The memory and time that {@link train} would take; nothing is written.
 *
 * @throws UsageError or BantamError as {@link train} does.
 */
export async function planRun(options: RunOptions & TrainControl): Promise<TrainingPlan> {
  return prepared(options, (parts) => planTraining(parts.config, planOptions(parts, options)));
}

/** Continues the run in a run directory from its last checkpoint, or from its start. */
export async function resumeTraining(
  run: string,
  control: TrainControl = {},
): Promise<TrainResult> {
  return begun(run, control, async (parts) => {
    const planned = planOptions(parts, control);
    const resumed = { spent: spentBy(parts), settingsIn: runPaths(run).config };
    await requireMemory(parts.config, planned, resumed);
    await requireTime(parts.config, planned, resumed);
    return runTraining(parts, control);
  });
}

/** The memory that {@link resumeTraining} would take, and the time of what remains. */
export async function planResumed(run: string, control: TrainControl = {}): Promise<TrainingPlan> {
  return begun(run, control, (parts) =>
    planTraining(parts.config, planOptions(parts, control), spentBy(parts)),
  );
}

function spentBy({ checkpoint }: Run): Spent {
  return checkpoint === undefined ? nothingSpent : readCheckpointState(checkpoint).spent;
}

function planOptions(
  { source, tokenizer, models, reinforced }: Omit<Run, 'run'>,
  { onEvent }: TrainControl,
): PlanOptions {
  return {
    source,
    models,
    reinforced,
    longest: longestCaption(source, tokenizer),
    onProgress: (message) => onEvent?.({ kind: 'preparing', message }),
  };
}

/** Reads and checks all that a new run needs before it has a directory. */
async function prepared<T>(
  options: RunOptions & TrainControl,
  body: (parts: Omit<Run, 'run'>) => Promise<T>,
): Promise<T> {
  const { init = '', initImage = '' } = options;
  using initial = await loadInitialModels({ model: init, image: initImage });
  const opened = needsModel(options) ? await openSource(options.data) : null;
  const model = opened === null ? {} : { model: announceChoice(opened, options) };
  const config = resolveConfig({ ...options, ...model }, initial.model);
  const validator = await validatorOf(config, options.openValidator);
  using strategyModels = await loadStrategyModels(config.strategy);
  const { models, reinforced } = strategyModels;
  const source = opened ?? (await openSource(options.data));
  if (config.augment.length === 0) {
    config.augment = reinforced?.augment ?? resolveAugment(source.augment);
  }
  reinforced?.check(source, config.augment);
  Object.assign(config.train, fitBatch(config.train, source, options));
  // A strategy that does not go with the model says so before there is a run.
  onDevice('meta', () => createStrategy(config, { samples: source.size, models, reinforced }));
  const tokenizer = await prepareTokenizer(config, source, initial.model?.tokenizer);
  config.tokenizer.contextLength = tokenizer.contextLength;
  config.model = fitText(config.model, tokenizer);
  checkInitialWeights(initial, config);
  return await body({ config, source, tokenizer, validator, initial, models, reinforced });
}

/** A run that starts from no model directory and names no model: one is chosen for it. */
function needsModel({ model, init, initImage }: RunOptions): boolean {
  return model === undefined && init === undefined && initImage === undefined;
}

function announceChoice(source: Source, { onEvent }: TrainControl): string {
  const { model, reason } = chooseModel(distinctImages(source));
  onEvent?.({ kind: 'note', message: reason });
  return model;
}

/** Reads all that a run with a directory goes on with. */
async function begun<T>(
  run: string,
  { openValidator }: TrainControl,
  body: (parts: Run) => Promise<T>,
): Promise<T> {
  const config = readRunConfig(run);
  const source = await openSource(config.data);
  const { contextLength } = config.tokenizer;
  const tokenizer = await loadTokenizer(runPaths(run).tokenizer, { contextLength });
  const validator = await validatorOf(config, openValidator);
  const checkpoint = listCheckpoints(run).at(-1);
  using initial = await loadInitialModels(checkpoint === undefined ? config.init : freshWeights);
  using strategyModels = await loadStrategyModels(config.strategy);
  const { models, reinforced } = strategyModels;
  reinforced?.check(source, config.augment);
  const parts = { source, tokenizer, validator, initial, models, reinforced, checkpoint };
  return await body({ run, config, ...parts });
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
