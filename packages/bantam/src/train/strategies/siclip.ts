import { Module } from '@bantam/torch';
import { atLeast, listOf, oneOf, section } from '../../base/fields.js';
import { pairMatchingLoss, type NegativeChoice } from '../../losses/index.js';
import type { StrategyKind } from './strategy.js';
import { withLogits } from './contrastive.js';
import {
  distillation,
  distillationFields,
  distillationLosses,
  distillationStageFields,
  reinforcedOf,
  teachersOf,
  weighted,
  type DistillationLoss,
  type DistillationSettings,
} from './distillation.js';
import { captionGroups, toUnit } from './features.js';
import { PairMatcher, type Combination } from './pair-matcher.js';
import { present } from './pair.js';
import { createStages, stageWeight, type StagedSettings } from './stages.js';

type SiclipLoss = DistillationLoss | 'matching';

/** Settings of {@link siclip}. */
export interface SiclipSettings extends DistillationSettings, StagedSettings<SiclipLoss> {
  /** How hard negatives are chosen: the most similar other one, or one to one. */
  readonly negatives: NegativeChoice;
  /** What the matcher looks at: the product of the features, or both of them as well. */
  readonly combine: Combination;
}

/** The matcher, and what distillation learns beside the model. */
class SiclipModules extends Module {
  constructor(
    public matcher: PairMatcher,
    public distillation: Module | null,
  ) {
    super();
  }
}

/**
 * The losses of SiCLIP (Liu 2024, 2411.14789): distillation from trained models, and Pair Matching,
 * which classifies pairs against hard negatives of the batch. The paper publishes neither factors nor
 * details: those of distillation are CLIP-KD's, a factor of 1 for matching and all else about it is
 * ours. Same captions are never negatives of the matcher.
 */
export const siclip: StrategyKind<SiclipSettings> = {
  type: 'siclip',
  fields: {
    ...distillationFields,
    matching: atLeast(0, 1),
    negatives: oneOf('hardest', 'assignment'),
    combine: oneOf('product', 'product-and-both'),
    stages: listOf(section({ ...distillationStageFields, matching: stageWeight })),
  },
  adapt: withLogits,
  models: teachersOf,
  reinforced: reinforcedOf,
  create(settings, options) {
    const { negatives, combine } = settings;
    const stages = createStages('siclip', settings, [...distillationLosses, 'matching']);
    const distilled = distillation(settings, options, { name: 'siclip', stages });
    const width = options.model.embedDim;
    const matcher = new PairMatcher({ width, combine, generator: options.generator });
    return {
      ...distilled,
      module: new SiclipModules(matcher, distilled.module),
      losses(features, context) {
        const matching = () =>
          pairMatchingLoss(
            { image: toUnit(present(features, 'image')), text: toUnit(present(features, 'text')) },
            {
              match: (image, text) => matcher.forward(image, text),
              choice: negatives,
              groups: captionGroups(context.samples),
            },
          );
        return {
          ...distilled.losses(features, context),
          ...weighted(stages.at(context.progress), { matching }),
        };
      },
    };
  },
};
