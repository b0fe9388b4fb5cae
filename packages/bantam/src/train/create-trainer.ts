import {
  AdamW,
  describeGroups,
  Ema,
  openClipDecayRules,
  parameterGroups,
  RandomStreams,
  type ParameterGroup,
} from '@bantam/torch';
import { createModel, type Clip } from '../models/index.js';
import type { Tokenizer } from '../text/index.js';
import { parseBudget } from './budget.js';
import type { TrainConfig } from './config.js';
import { resolvePrecision } from './precision.js';
import type { Strategy } from './strategy.js';
import { Trainer, type BatchStream } from './trainer.js';

/** Options of {@link createTrainer}. */
export interface CreateTrainerOptions {
  strategy: Strategy;
  tokenizer: Tokenizer;
  /** A `Loader`, or anything that gives ready batches with the strategy's views. */
  loader: BatchStream;
  /** Puts trained weights in place of fresh ones. */
  initialize?: (model: Clip) => void;
}

/** A trainer with the parts that its owner saves, describes and frees. */
export interface TrainerSetup extends Disposable {
  readonly trainer: Trainer;
  readonly model: Clip;
  readonly ema: Ema | null;
  /** The optimizer's groups of parameters, for printing. */
  readonly groups: string;
}

/** The trainer of a configuration: a model with fresh weights, its optimizer, streams and budget. */
export function createTrainer(
  config: TrainConfig,
  { strategy, tokenizer, loader, initialize }: CreateTrainerOptions,
): TrainerSetup {
  const { train: settings, seed } = config;
  const streams = new RandomStreams({ seed });
  const model = createModel(config.model, { generator: streams.get('init') });
  initialize?.(model);
  if (strategy.frozen !== undefined) model.freeze(strategy.frozen);
  const rules = [...(strategy.rules ?? []), ...openClipDecayRules];
  const groups = [...parameterGroups(model, rules), ...ownGroups(strategy)];
  const optimizer = new AdamW(groups, {
    lr: settings.lr,
    betas: [settings.beta1, settings.beta2],
    eps: settings.eps,
    weightDecay: settings.weightDecay,
  });
  const ema = settings.ema > 0 ? new Ema(model) : null;
  const trainer = new Trainer({
    config,
    strategy,
    model,
    tokenizer,
    loader,
    optimizer,
    ema,
    streams,
    budget: parseBudget(config.budget),
    precision: resolvePrecision(settings.precision),
  });
  return {
    trainer,
    model,
    ema,
    groups: describeGroups(groups),
    [Symbol.dispose]() {
      ema?.[Symbol.dispose]();
      optimizer[Symbol.dispose]();
      model[Symbol.dispose]();
      strategy.module?.[Symbol.dispose]();
      strategy[Symbol.dispose]?.();
    },
  };
}

/** Parameters of the strategy's own. */
function ownGroups({ module }: Strategy): ParameterGroup[] {
  if (module === null) return [];
  return parameterGroups(module, openClipDecayRules).map((group) => ({
    ...group,
    label: `strategy: ${group.label}`,
    parameters: new Map(
      [...group.parameters].map(([name, parameter]) => [`strategy.${name}`, parameter]),
    ),
  }));
}
