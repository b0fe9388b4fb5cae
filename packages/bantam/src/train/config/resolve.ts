/** From the options of a run to its whole configuration. */
import { BantamError, UsageError } from '../../base/errors.js';
import { frozenCopy } from '../../base/readonly.js';
import {
  parseAugment,
  resolveAugment,
  samplesPerEpoch,
  type ImageAugment,
  type Source,
} from '../../data/index.js';
import {
  fitTokenizer,
  inheritedPatterns,
  modelConfig,
  paddedAs,
  parseModelConfig,
  preprocessOf,
  type LoadedModel,
} from '../../models/index.js';
import type { Tokenizer } from '../../text/index.js';
import { strategyKind, withLogits } from '../strategies/index.js';
import { parseBudget, withoutEpochs } from './budget.js';
import {
  configFormat,
  readRunOptions,
  type RunOptions,
  type RunSettings,
  type TrainConfig,
} from './config.js';
import { withFineTuneDefaults } from './fine-tune.js';
import type { TrainSettings } from './settings.js';

/** The parts of the initial model that a configuration is resolved from. */
export type InitialConfig = Pick<LoadedModel, 'config' | 'info' | 'preprocess'>;

/**
 * The configuration of a run as far as it does not depend on the data; see {@link fitToData}. The
 * augmentation is empty if it is to be the source's own.
 *
 * @param initial - The model in `init.model`
 * @throws UsageError or BantamError for the first thing that is wrong, before any data are read.
 */
export function resolveConfig(
  options: RunOptions,
  initial: InitialConfig | null = null,
): TrainConfig {
  const settings = readRunOptions(withFineTuneDefaults(options, initial?.info ?? null));
  const { model: wanted, strategy, train, init, preprocess, augment, budget, ...rest } = settings;
  if (budget === undefined) {
    throw new UsageError(
      'A run needs a budget, such as 30m, 100ksamples or 3epochs, unless it fine-tunes a model.',
    );
  }
  parseBudget(withoutEpochs(budget, 1000));
  const named =
    typeof wanted === 'string' ? modelConfig(wanted) : wanted && parseModelConfig(wanted);
  const model = named ?? initial?.config ?? null;
  if (model === null) {
    throw new UsageError('A run needs a model: name a preset, or a model directory to start from.');
  }
  return frozenCopy({
    formatVersion: configFormat,
    ...rest,
    budget,
    init,
    strategy,
    train: { ...train, freeze: frozenPatterns(settings, initial) },
    model: withLogits(model, strategy.loss),
    preprocess: {
      ...(initial?.preprocess ?? preprocessOf(model)),
      ...preprocess,
      size: model.vision.imageSize,
    },
    augment: chosenAugment(augment) ?? strategyKind(strategy).augment?.(strategy) ?? [],
  } satisfies TrainConfig);
}

function chosenAugment(augment: RunSettings['augment']): ImageAugment | undefined {
  return typeof augment === 'string' ? parseAugment(augment) : augment;
}

/** @throws UsageError if nothing that is inherited could be frozen. */
function frozenPatterns(
  { train, init }: RunSettings,
  initial: Pick<LoadedModel, 'info'> | null,
): readonly string[] {
  if (!init.freezeInherited) return train.freeze;
  const patterns = initial === null ? null : inheritedPatterns(initial.info);
  if (patterns !== null && patterns.length > 0) return [...new Set([...train.freeze, ...patterns])];
  throw new UsageError(
    patterns === null
      ? `--freeze-inherited needs --init with a model that "bantam models inherit" wrote${init.model === '' ? '' : `, which ${init.model} is not`}.`
      : `--freeze-inherited would freeze nothing, as ${init.model} has only slices of its teacher; leave it out.`,
  );
}

/** The data and the tokenizer of a run. */
export interface DataFacts {
  readonly source: Source;
  readonly tokenizer: Tokenizer;
  /** The augmentation of a reinforced data set; null: there is none. */
  readonly reinforcedAugment: ImageAugment | null;
}

/** The whole configuration: vocabulary, context, batch and augmentation as the data have them. */
export function fitToData(
  config: TrainConfig,
  { source, tokenizer, reinforcedAugment }: DataFacts,
): TrainConfig {
  const { vocabSize, contextLength } = tokenizer;
  const { model, augment, init } = config;
  const fitted = { ...model, text: { ...model.text, vocabSize, contextLength } };
  return frozenCopy({
    ...config,
    budget: withoutEpochs(config.budget, samplesPerEpoch(source)),
    train: { ...config.train, ...fitBatch(config.train, source) },
    tokenizer: { ...config.tokenizer, contextLength },
    model: init.model === '' ? fitTokenizer(fitted, tokenizer) : paddedAs(fitted, tokenizer),
    augment: resolveAugment(augment.length > 0 ? augment : (reinforcedAugment ?? source.augment)),
  });
}

/** A source smaller than the batch is one batch; one smaller than a micro-batch is one micro-batch. */
function fitBatch(
  { batchSize, microBatch }: TrainSettings,
  source: Source,
): Pick<TrainSettings, 'batchSize' | 'microBatch'> {
  const samples = samplesPerEpoch(source);
  if (batchSize < 2) {
    throw new BantamError(
      'A batch of 1 has no other captions to tell an image from, so its loss is 0 and nothing is learned; set train.batchSize to 2 or more (train.microBatch may be 1).',
    );
  }
  if (samples >= batchSize) return { batchSize, microBatch };
  const fitting = microBatch > samples ? 0 : microBatch;
  const available = fitting === 0 ? samples : samples - (samples % fitting);
  if (available < 2) {
    throw new BantamError(
      `${source.spec} has ${samples} sample, but contrastive training needs at least 2; add images.`,
    );
  }
  return { batchSize: available, microBatch: fitting };
}
