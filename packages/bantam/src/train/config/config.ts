import { BantamError, UsageError } from '../../base/errors.js';
import { parseAugment, type ImageAugment } from '../../data/index.js';
import { parseModelConfig, type ModelConfig, type Preprocess } from '../../models/index.js';
import { isObject } from '../../base/fields.js';
import { didYouMean } from '../../base/did-you-mean.js';
import { parseStrategy, type StrategyConfig } from '../strategies/index.js';
import {
  checkValidation,
  defaultValidationSettings,
  type ValidationSettings,
} from '../monitor/validation-settings.js';

/** The settings of training itself. */
export interface TrainSettings {
  /** Pairs that are contrasted with each other in one step. */
  batchSize: number;
  /**
   * Samples that pass through the towers at once, a divisor of `batchSize`: a large batch on the
   * memory of a small one, for one more forward pass. 0: the whole batch.
   */
  microBatch: number;
  /**
   * The activations of every block are computed again in the backward pass instead of kept: the same
   * step on less memory, for one more forward pass.
   */
  gradCheckpointing: boolean;
  /** Batches whose gradients are averaged before a step of the optimizer. */
  accumulate: number;
  /** Peak learning rate. */
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  /** Which optimizer takes the steps. */
  optimizer: 'adamw' | 'adafactor' | 'lion';
  /**
   * λ of θ ← θ − lr·λ·θ, of weight matrices; gains, biases and the temperature do not decay. It means
   * the same for every optimizer.
   */
  weightDecay: number;
  /** The learning rate of each layer is this times that of the layer after it. 1: all alike. */
  layerDecay: number;
  /** Patterns of the names of parameters that stay as they are. */
  freeze: readonly string[];
  schedule: 'cosine' | 'linear' | 'constant' | 'rsqrt';
  /** Share of the budget over which the learning rate rises. */
  warmup: number;
  /** Share of the budget over which it falls to zero at the end (constant and rsqrt). */
  cooldown: number;
  /** The gradient is scaled down to this norm; 0: never. */
  clipNorm: number;
  /** Decay of the moving average of the weights that is evaluated and saved; 0: none. */
  ema: number;
  /** `auto` is bf16 where the processor has instructions for its products, else fp32. */
  precision: 'auto' | 'fp32' | 'bf16';
  /** Steps in a row without a finite loss after which the last checkpoint's weights come back. */
  maxSkips: number;
  /** Minutes between checkpoints. */
  checkpointMinutes: number;
  /** Checkpoints kept, the newest ones. */
  keepCheckpoints: number;
  /** Threads that prepare data. */
  workers: number;
  /** The most memory that the run may be planned to take, in GB; 0: what the machine has. */
  memoryLimit: number;
  /** The longest that the run may be planned to take, in hours; 0: any time. */
  timeLimit: number;
}

/** The settings of the tokenizer. */
export interface TokenizerSettings {
  /** A tokenizer.json, its folder, or CLIP's vocabulary file; empty: train one on the captions. */
  path: string;
  /** Entries of a trained vocabulary. */
  vocabSize: number;
  /** Longest caption in tokens. */
  contextLength: number;
}

/** Model directories that a run's first weights come from; empty: fresh weights. */
export interface InitSettings {
  /** Both towers, the temperature and the tokenizer. */
  model: string;
  /** The image tower; goes before {@link model}. */
  image: string;
}

/** Fresh weights. */
export const freshWeights: Readonly<InitSettings> = { model: '', image: '' };

/** Everything that a run depends on, as `config.json` keeps it. */
export interface TrainConfig {
  model: ModelConfig;
  init: InitSettings;
  strategy: StrategyConfig;
  /** Source specification. */
  data: string;
  budget: string;
  seed: number;
  train: TrainSettings;
  tokenizer: TokenizerSettings;
  validation: ValidationSettings;
  preprocess: Preprocess;
  augment: ImageAugment;
}

/** What a trainer goes by. */
export type TrainerConfig = Omit<TrainConfig, 'validation'>;

/** Settings that suit small models on small data; the learning rate is that of batch 256. */
export const defaultTrainSettings: Readonly<TrainSettings> = {
  batchSize: 256,
  microBatch: 0,
  gradCheckpointing: false,
  accumulate: 1,
  lr: 1e-3,
  beta1: 0.9,
  beta2: 0.98,
  eps: 1e-6,
  optimizer: 'adamw',
  weightDecay: 0.2,
  layerDecay: 1,
  freeze: [],
  schedule: 'cosine',
  warmup: 0.1,
  cooldown: 0,
  clipNorm: 1,
  ema: 0,
  precision: 'auto',
  maxSkips: 3,
  checkpointMinutes: 5,
  keepCheckpoints: 2,
  workers: 1,
  memoryLimit: 0,
  timeLimit: 0,
};

/** Settings of a tokenizer for short captions. */
export const defaultTokenizerSettings: Readonly<TokenizerSettings> = {
  path: '',
  vocabSize: 4096,
  contextLength: 32,
};

/** Allowed values of the settings that are names. */
const choices: Readonly<Record<string, readonly string[]>> = {
  'train.optimizer': ['adamw', 'adafactor', 'lion'],
  'train.schedule': ['cosine', 'linear', 'constant', 'rsqrt'],
  'train.precision': ['auto', 'fp32', 'bf16'],
};

const sections = [
  'train',
  'strategy',
  'tokenizer',
  'validation',
  'model',
  'augment',
  'preprocess',
] as const;

/**
 * Applies `--set section.name=value` to a configuration: numbers and names of `train.*`,
 * `strategy.*`, `tokenizer.*`, `validation.*`, `model.*` and `preprocess.*`; `augment` takes a name or a JSON list of operations.
 *
 * @throws UsageError that names the setting and the nearest known one.
 */
export function applySettings(
  config: TrainConfig,
  settings: Readonly<Record<string, string>>,
): TrainConfig {
  const result = structuredClone(config);
  for (const [path, text] of Object.entries(settings)) {
    if (path === 'augment') {
      result.augment = parseAugment(text);
      continue;
    }
    const [section = '', ...names] = path.split('.');
    if (section === 'init') {
      throw new UsageError(
        `First weights are no setting, so '${path}' cannot be set; name their model directory with --init, or with --init-image for the image tower alone.`,
      );
    }
    if (!(sections as readonly string[]).includes(section) || names.length === 0) {
      throw new UsageError(
        `There is no setting '${path}'${didYouMean(path, settingNames(config))}; settings are written section.name=value.`,
      );
    }
    assign(result as unknown as Tree, [section, ...names], path, text, settingNames(config));
  }
  checkSettings(result);
  return result;
}

/**
 * Applies the `model.*` of {@link applySettings} to a model's configuration alone.
 *
 * @throws UsageError that names the setting and the nearest known one.
 */
export function applyModelSettings(
  model: ModelConfig,
  settings: Readonly<Record<string, string>>,
): ModelConfig {
  const tree: Tree = { model: structuredClone(model) };
  const known = leaves(tree, '');
  for (const [path, text] of Object.entries(settings)) {
    const [section, ...names] = path.split('.');
    if (section !== 'model' || names.length === 0) throw unknown(path, known);
    assign(tree, ['model', ...names], path, text, known);
  }
  return parseModelConfig(tree.model);
}

type Tree = Record<string, unknown>;

function leaves(tree: Tree, prefix: string): string[] {
  return Object.entries(tree).flatMap(([name, value]) =>
    isObject(value) ? leaves(value, `${prefix}${name}.`) : [`${prefix}${name}`],
  );
}

function settingNames(config: TrainConfig): string[] {
  return sections.flatMap((section) => {
    const part: unknown = config[section];
    return isObject(part) ? leaves(part, `${section}.`) : [section];
  });
}

function assign(
  tree: Tree,
  names: readonly string[],
  path: string,
  text: string,
  known: readonly string[],
): void {
  const parents = names.slice(0, -1);
  const last = names.at(-1) ?? '';
  let parent = tree;
  for (const name of parents) {
    const next = parent[name];
    if (!isObject(next)) throw unknown(path, known);
    parent = next;
  }
  if (!(last in parent)) throw unknown(path, known);
  parent[last] = parseLike(parent[last], path, text);
}

function unknown(path: string, known: readonly string[]): UsageError {
  return new UsageError(`There is no setting '${path}'${didYouMean(path, known)}.`);
}

/** Reads `text` as the kind of value that stands there now. */
function parseLike(current: unknown, path: string, text: string): unknown {
  const allowed = choices[path];
  if (allowed !== undefined) {
    if (allowed.includes(text)) return text;
    if (path === 'train.precision' && text === 'int8') {
      throw new UsageError(
        'Models are trained in fp32 or bf16; int8 is for inference, with --precision int8 of bantam eval and bantam embed.',
      );
    }
    throw new UsageError(`The setting '${path}' is one of ${allowed.join(', ')}, not '${text}'.`);
  }
  if (typeof current === 'string') return text;
  if (typeof current === 'boolean') {
    if (text === 'true' || text === 'false') return text === 'true';
    throw new UsageError(`The setting '${path}' is true or false, not '${text}'.`);
  }
  if (typeof current === 'number') {
    const value = Number(text);
    if (text.trim() !== '' && Number.isFinite(value)) return value;
    throw new UsageError(`The setting '${path}' is a number, not '${text}'.`);
  }
  return parseJson(path, text);
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new UsageError(`The value of '${path}' is not JSON: ${text}`);
  }
}

/** What each numeric setting must be. */
const rules: readonly [keyof TrainSettings, (value: number) => boolean, string][] = [
  ['batchSize', (v) => Number.isInteger(v) && v >= 1, 'a whole number of at least 1'],
  ['microBatch', (v) => Number.isInteger(v) && v >= 0, 'a whole number of at least 0'],
  ['accumulate', (v) => Number.isInteger(v) && v >= 1, 'a whole number of at least 1'],
  ['lr', (v) => v >= 0, 'at least 0'],
  ['beta1', (v) => v >= 0 && v < 1, 'at least 0 and below 1'],
  ['beta2', (v) => v >= 0 && v < 1, 'at least 0 and below 1'],
  ['eps', (v) => v > 0, 'above 0'],
  ['weightDecay', (v) => v >= 0, 'at least 0'],
  ['layerDecay', (v) => v > 0 && v <= 1, 'above 0 and at most 1'],
  ['warmup', (v) => v >= 0 && v <= 1, 'a share from 0 to 1'],
  ['cooldown', (v) => v >= 0 && v <= 1, 'a share from 0 to 1'],
  ['clipNorm', (v) => v >= 0, 'at least 0'],
  ['ema', (v) => v >= 0 && v < 1, 'at least 0 and below 1'],
  ['maxSkips', (v) => Number.isInteger(v) && v >= 1, 'a whole number of at least 1'],
  ['checkpointMinutes', (v) => v > 0, 'above 0'],
  ['keepCheckpoints', (v) => Number.isInteger(v) && v >= 1, 'a whole number of at least 1'],
  ['workers', (v) => Number.isInteger(v) && v >= 0, 'a whole number of at least 0'],
  ['memoryLimit', (v) => v >= 0, 'at least 0'],
  ['timeLimit', (v) => v >= 0, 'at least 0'],
];

/** @throws UsageError for the first setting that is out of its range. */
export function checkSettings(config: TrainConfig): void {
  for (const [name, holds, must] of rules) {
    const value = config.train[name] as number;
    if (!holds(value)) {
      throw new UsageError(`The setting 'train.${name}' must be ${must}, not ${value}.`);
    }
  }
  checkValidation(config.validation);
  const { batchSize, microBatch, freeze, gradCheckpointing } = config.train;
  if (typeof gradCheckpointing !== 'boolean') {
    throw new UsageError(
      `The setting 'train.gradCheckpointing' is true or false, not ${JSON.stringify(gradCheckpointing)}.`,
    );
  }
  if (!Array.isArray(freeze) || !freeze.every((pattern) => typeof pattern === 'string')) {
    throw new UsageError(
      `The setting 'train.freeze' must be a list of patterns such as ["visual"], not ${JSON.stringify(freeze)}.`,
    );
  }
  if (microBatch > 0 && batchSize % microBatch !== 0) {
    throw new UsageError(
      `The setting 'train.microBatch' (${microBatch}) must divide 'train.batchSize' (${batchSize}).`,
    );
  }
}

/**
 * Reads a `config.json` that {@link TrainConfig} was saved as. A setting that did not exist when it
 * was saved has its default, which stands for what was done before.
 *
 * @throws BantamError when it is something else, or has settings that are not known.
 */
export function parseTrainConfig(text: string, path: string): TrainConfig {
  const saved = readSaved(text);
  if (saved === null) {
    throw new BantamError(`${path} is not the configuration of a run; start the run anew.`);
  }
  const config: TrainConfig = {
    ...saved,
    model: parseModelConfig(saved.model),
    init: { ...freshWeights, ...saved.init },
    strategy: parseStrategy(saved.strategy),
    train: { ...defaultTrainSettings, ...saved.train },
    tokenizer: { ...defaultTokenizerSettings, ...saved.tokenizer },
    validation: { ...defaultValidationSettings, ...saved.validation },
  };
  checkSettings(config);
  return config;
}

function readSaved(text: string): TrainConfig | null {
  try {
    const value: unknown = JSON.parse(text);
    if (!isObject(value)) return null;
    const whole = ['model', 'strategy', 'train'].every((name) => isObject(value[name]));
    return whole ? (value as unknown as TrainConfig) : null;
  } catch {
    return null;
  }
}
