import {
  Adafactor,
  AdamW,
  assertGroupsCover,
  describeGroups,
  Lion,
  openClipDecayRules,
  parameterGroups,
  type NamedModule,
  type Optimizer,
  type ParameterGroup,
} from '@bantam/torch';
import { layerDecay, type Clip } from '../../models/index.js';
import type { TrainSettings } from '../config/settings.js';
import type { Strategy } from '../strategies/strategy.js';

/** The trained modules: the model, and the strategy's own. */
export function trainedModules(model: Clip, { module }: Strategy): NamedModule[] {
  return [{ module: model }, ...(module === null ? [] : [{ module, prefix: 'strategy.' }])];
}

/** The groups of parameters that share a learning rate and a weight decay; together they are all. */
export function groupParameters(
  model: Clip,
  strategy: Strategy,
  { layerDecay: decay }: Pick<TrainSettings, 'layerDecay'>,
): ParameterGroup[] {
  const modules = trainedModules(model, strategy);
  const rules = [...(strategy.rules ?? []), ...openClipDecayRules];
  const groups = parameterGroups(modules, rules, { lrScale: layerDecay(model, decay) });
  assertGroupsCover(groups, modules);
  return groups;
}

/** Groups of parameters, for printing. */
export interface DescribedGroups {
  /** A line for each group, and one for what is frozen. */
  readonly text: string;
  /** True if all parameters train, at one learning rate: groups then differ in weight decay alone. */
  readonly isUniform: boolean;
}

/** Describes the groups of the trained modules. */
export function describeAll(
  groups: readonly ParameterGroup[],
  modules: readonly NamedModule[],
): DescribedGroups {
  const all = modules.flatMap(({ module }) => module.parameters());
  const isUniform =
    groups.every(({ lrScale }) => lrScale === 1) && all.every(({ requiresGrad }) => requiresGrad);
  return { text: describeGroups(groups, modules), isUniform };
}

/**
 * The optimizer that the settings name. `beta1`, `beta2` and `eps` are AdamW's; Lion takes both betas,
 * Adafactor `beta1` as its momentum and its own schedule for the second moment. Each decays weights by
 * lr·λ, Adafactor too; big_vision's λ is per schedule: its 1e-4 at a rate of 1e-3 is 0.1 here.
 */
export function createOptimizer(
  settings: TrainSettings,
  groups: readonly ParameterGroup[],
): Optimizer {
  const { lr, beta1, beta2, eps, weightDecay } = settings;
  switch (settings.optimizer) {
    case 'adamw':
      return new AdamW(groups, { lr, betas: [beta1, beta2], eps, weightDecay });
    case 'adafactor':
      return new Adafactor(groups, { lr, momentum: beta1, weightDecay, decayBy: 'lr' });
    case 'lion':
      return new Lion(groups, { lr, betas: [beta1, beta2], weightDecay });
  }
}
