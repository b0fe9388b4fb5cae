import {
  assertGroupsCover,
  describeGroups,
  Ema,
  openClipDecayRules,
  parameterGroups,
  RandomStreams,
  type NamedModule,
} from '@bantam/torch';
import { createModel, layerDecay, type Clip } from '../../models/index.js';
import type { Tokenizer } from '../../text/index.js';
import { parseBudget } from '../config/budget.js';
import type { TrainerConfig } from '../config/config.js';
import { createOptimizer } from './create-optimizer.js';
import { resolvePrecision } from '../../base/precision.js';
import type { Strategy } from '../strategies/strategy.js';
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
  config: TrainerConfig,
  { strategy, tokenizer, loader, initialize }: CreateTrainerOptions,
): TrainerSetup {
  const { train: settings, seed } = config;
  const streams = new RandomStreams({ seed });
  const model = createModel(config.model, { generator: streams.get('init') });
  initialize?.(model);
  model.freeze([...(strategy.frozen ?? []), ...settings.freeze]);
  const rules = [...(strategy.rules ?? []), ...openClipDecayRules];
  const modules = modulesOf(model, strategy);
  const lrScale = layerDecay(model, settings.layerDecay);
  const groups = parameterGroups(modules, rules, { lrScale });
  assertGroupsCover(groups, modules);
  const optimizer = createOptimizer(settings, groups);
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
    groups: describeGroups(groups, modules),
    [Symbol.dispose]() {
      ema?.[Symbol.dispose]();
      optimizer[Symbol.dispose]();
      model[Symbol.dispose]();
      strategy.module?.[Symbol.dispose]();
      strategy[Symbol.dispose]?.();
    },
  };
}

/** What is trained: the model, and the strategy's own modules. */
function modulesOf(model: Clip, { module }: Strategy): NamedModule[] {
  return [{ module: model }, ...(module === null ? [] : [{ module, prefix: 'strategy.' }])];
}
