import { resolveAugment, type ImageAugment } from '../data/index.js';
import { UsageError } from '../errors.js';
import {
  inheritedPatterns,
  modelConfig,
  parseModelConfig,
  preprocessOf,
  type LoadedModel,
  type ModelConfig,
} from '../models/index.js';
import { parseBudget } from './budget.js';
import {
  applySettings,
  defaultTokenizerSettings,
  defaultTrainSettings,
  type TrainConfig,
} from './config.js';
import { parseStrategy, strategyKind, type StrategyConfig } from './strategies/index.js';
import { defaultValidationSettings } from './validation-settings.js';

/** What a run is to be. */
export interface RunOptions {
  /**
   * A preset's name, or a configuration. Default: that of {@link init}, else the one that
   * `chooseModel` finds for the number of distinct images.
   */
  model?: string | ModelConfig;
  /** Source specification, such as `emoji` or `csv:pairs.csv`. */
  data: string;
  /** When to stop, such as `5m` or `100ksamples`; see {@link parseBudget}. */
  budget: string;
  /** A strategy's name, or a strategy with settings. Default `clip`. */
  strategy?: string | StrategyConfig;
  /** A model directory that weights and tokenizer are taken from. */
  init?: string;
  /** A model directory that the image tower's weights are taken from. */
  initImage?: string;
  /** Freeze what {@link init} has of its teacher, so that only the rest learns. Default false. */
  freezeInherited?: boolean;
  /** Default 0. */
  seed?: number;
  /** A tokenizer's path; by default that of {@link init}, or one trained on the captions. */
  tokenizer?: string;
  /** Default: the strategy's, or the source's own. */
  augment?: ImageAugment;
  /** Further settings by name, such as `{ 'train.lr': '1e-3' }`. */
  settings?: Readonly<Record<string, string>>;
}

/**
 * The whole configuration of a run, every default filled in but for the augmentation, which is empty
 * where it is to be the source's own.
 *
 * @param initial - The model that weights come from
 * @throws UsageError or BantamError for whatever is wrong with it, before any data are read.
 */
export function resolveConfig(
  options: RunOptions,
  initial: Pick<LoadedModel, 'config' | 'info' | 'preprocess'> | null,
): TrainConfig {
  const { data, budget, seed = 0 } = options;
  parseBudget(budget);
  const named = typeof options.model === 'string' ? modelConfig(options.model) : options.model;
  const model = named ?? initial?.config ?? null;
  if (model === null) {
    throw new UsageError('A run needs a model: name a preset, or a model directory to start from.');
  }
  const config = applySettings(
    {
      model,
      init: { model: options.init ?? '', image: options.initImage ?? '' },
      strategy: parseStrategy(options.strategy ?? 'clip'),
      data,
      budget,
      seed,
      train: { ...defaultTrainSettings },
      tokenizer: { ...defaultTokenizerSettings, path: options.tokenizer ?? '' },
      validation: { ...defaultValidationSettings },
      preprocess: initial?.preprocess ?? preprocessOf(model),
      augment: options.augment ?? [],
    },
    options.settings ?? {},
  );
  const strategy = parseStrategy(config.strategy);
  const kind = strategyKind(strategy.type);
  const parsed = parseModelConfig(config.model);
  const augment = config.augment.length > 0 ? config.augment : (kind.augment?.(strategy) ?? []);
  const freeze = options.freezeInherited === true ? frozenOf(options, initial) : [];
  return {
    ...config,
    train: { ...config.train, freeze: [...config.train.freeze, ...freeze] },
    strategy,
    model: kind.adapt?.(parsed, strategy) ?? parsed,
    augment: resolveAugment(augment),
    preprocess: { ...config.preprocess, size: parsed.vision.imageSize },
  };
}

/** @throws UsageError where the initial model has nothing that is whole of a teacher. */
function frozenOf({ init }: RunOptions, initial: Pick<LoadedModel, 'info'> | null): string[] {
  const patterns = initial === null ? null : inheritedPatterns(initial.info);
  if (patterns !== null && patterns.length > 0) return patterns;
  throw new UsageError(
    patterns === null
      ? `--freeze-inherited needs --init with a model that "bantam models inherit" wrote${init === undefined ? '' : `, which ${init} is not`}.`
      : `--freeze-inherited would freeze nothing, as ${init} has only slices of its teacher; leave it out.`,
  );
}
