/** The whole configuration of a run: the options that it is resolved from, and `config.json`. */
import * as v from 'valibot';
import { didYouMean } from '../../base/did-you-mean.js';
import { BantamError, UsageError } from '../../base/errors.js';
import { frozenCopy, type DeepReadonly } from '../../base/readonly.js';
import {
  count,
  described,
  group,
  index,
  isObject,
  readSettings,
  setting,
  text,
} from '../../base/schema.js';
import { resolveAugment, type AugmentationName, type ImageAugment } from '../../data/index.js';
import {
  parseModelConfig,
  type ModelConfig,
  type ModelConfigInput,
  type Preprocess,
} from '../../models/index.js';
import { nameOf, strategies, strategySchema, type StrategyConfig } from '../strategies/index.js';
import { FINE_TUNE_BUDGET, fineTuneSchema, type FineTune } from './fine-tune.js';
import {
  initSchema,
  preprocessSchema,
  savedPreprocessSchema,
  tokenizerSchema,
  trainSchema,
  validationSchema,
  type InitSettings,
  type TokenizerSettings,
  type TrainSettings,
  type ValidationSettings,
} from './settings.js';
import { heldOutData, namesValidation } from './hold-out.js';

const augmentWanted = 'the name of an augmentation or a list of operations';

/** Members that a run's options and its saved configuration have alike. */
const shared = {
  data: described(text(), 'Training data, such as emoji or csv:pairs.csv.'),
  seed: setting(index(), 0, 'Seed of every random choice.'),
  init: setting(initSchema, {}, 'Trained models that the run starts from.'),
  fineTune: setting(
    fineTuneSchema,
    'full',
    'Fine-tuning method for the model in init.model: its name, or its settings.',
  ),
  strategy: setting(strategySchema, 'clip', 'Training strategy: its name, or its settings.'),
  train: setting(trainSchema, {}, 'Settings of training itself.'),
  tokenizer: setting(tokenizerSchema, {}, 'Settings of the tokenizer.'),
  validation: setting(validationSchema, {}, 'Settings of validation.'),
};

/** The options of a run, as `train()` takes them. */
export const runSchema = group({
  model: v.optional(
    described(
      v.custom<string | ModelConfigInput>(
        (value) => typeof value === 'string' || isObject(value),
        "a preset's name or a model's configuration",
      ),
      "A preset's name, or a model's configuration. Default: that of init.model, else the preset for the number of distinct images.",
    ),
  ),
  budget: v.optional(
    described(
      text(),
      `When to stop, such as 5m, 100ksamples, 3epochs or 1e15flops. Default: ${FINE_TUNE_BUDGET} for a model in init.model; otherwise it must be given.`,
    ),
  ),
  ...shared,
  preprocess: setting(preprocessSchema, {}, "Changes of the model's preprocessing."),
  augment: v.optional(
    described(
      v.custom<AugmentationName | ImageAugment>(
        (value) => typeof value === 'string' || Array.isArray(value),
        augmentWanted,
      ),
      "An augmentation's name or its operations. Default: the strategy's, or the source's own.",
    ),
  ),
});

/** The options of a run; absent ones have their defaults. */
export type RunOptions = DeepReadonly<v.InferInput<typeof runSchema>>;

/** The options of a run with their defaults. */
export type RunSettings = DeepReadonly<v.InferOutput<typeof runSchema>>;

/** Version of `config.json`; it rises if an older file would be read differently. */
export const configFormat = 1;

const savedSchema = group({
  formatVersion: count(),
  model: v.custom<Readonly<Record<string, unknown>>>(isObject, "a model's configuration"),
  budget: text(),
  ...shared,
  preprocess: savedPreprocessSchema,
  augment: v.custom<ImageAugment>(Array.isArray, augmentWanted),
});

/** Everything that a run depends on, as `config.json` keeps it; frozen. */
export interface TrainConfig {
  /** {@link configFormat} of the version that wrote it. */
  readonly formatVersion: number;
  readonly model: ModelConfig;
  /** Source specification. */
  readonly data: string;
  readonly budget: string;
  readonly seed: number;
  readonly init: InitSettings;
  readonly fineTune: FineTune;
  readonly strategy: StrategyConfig;
  readonly train: TrainSettings;
  readonly tokenizer: TokenizerSettings;
  readonly validation: ValidationSettings;
  readonly preprocess: Preprocess;
  readonly augment: ImageAugment;
}

/**
 * Checks the options of a run and fills in defaults.
 *
 * @throws UsageError that names the first wrong setting, and the nearest known one.
 */
export function readRunOptions(options: RunOptions): RunSettings {
  checkStrategyName(options.strategy);
  const settings = readSettings(runSchema, options, { error: UsageError });
  checkTogether(settings);
  return settings;
}

/** @throws UsageError for an unknown strategy. */
function checkStrategyName(strategy: unknown): void {
  const name = isObject(strategy) ? strategy.type : strategy;
  const known = strategies.map(nameOf);
  if (typeof name !== 'string' || known.includes(name)) return;
  throw new UsageError(
    `There is no strategy '${name}'${didYouMean(name, known)}; choose one of: ${known.join(', ')}.`,
  );
}

/** @throws UsageError for settings that are wrong only together. */
function checkTogether({ train, validation }: Pick<TrainConfig, 'train' | 'validation'>): void {
  const { batchSize, microBatch } = train;
  if (microBatch > 0 && batchSize % microBatch !== 0) {
    throw new UsageError(
      `The setting 'train.microBatch' is ${microBatch}; it must divide 'train.batchSize', ${batchSize}.`,
    );
  }
  const { data, metric, patience, holdOut } = validation;
  const usual = v.getDefaults(validationSchema).metric;
  if (!namesValidation(validation) && (patience > 0 || metric !== usual)) {
    const name = patience > 0 ? 'patience' : 'metric';
    throw new UsageError(
      `The setting 'validation.${name}' has no data to validate on; name them with --validate SPEC, or hold some out with --validate held-out.`,
    );
  }
  if (holdOut > 0 && data !== '' && data !== heldOutData) {
    throw new UsageError(
      `The setting 'validation.holdOut' has no effect beside --validate ${data}; leave one of them out.`,
    );
  }
}

/**
 * Reads a `config.json`; a setting that it lacks has its default.
 *
 * @param path - The file, for messages
 * @throws BantamError if it is something else, of another format, or has unknown settings.
 */
export function parseTrainConfig(json: string, path: string): TrainConfig {
  const saved = parseObject(json);
  if (saved === null) {
    throw new BantamError(`${path} is not the configuration of a run; start the run anew.`);
  }
  const { formatVersion = 0 } = saved;
  if (formatVersion !== configFormat) {
    const age = Number(formatVersion) > configFormat ? 'a newer' : 'an older';
    throw new BantamError(
      `${path} was written by ${age} version of Bantam (format ${String(formatVersion)}, this one reads ${configFormat}); use that version, or start the run anew.`,
    );
  }
  try {
    const { model, augment, ...settings } = readSettings(savedSchema, saved, {
      error: BantamError,
    });
    checkTogether(settings);
    return frozenCopy({
      ...settings,
      model: parseModelConfig(model),
      augment: resolveAugment(augment),
    });
  } catch (error) {
    if (!(error instanceof BantamError)) throw error;
    throw new BantamError(`The configuration in ${path} cannot be used. ${error.message}`);
  }
}

function parseObject(json: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(json);
    return isObject(value) && isObject(value.model) && isObject(value.train) ? value : null;
  } catch {
    return null;
  }
}
