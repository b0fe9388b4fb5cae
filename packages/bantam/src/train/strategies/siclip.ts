import { Module } from '@bantam/torch';
import * as v from 'valibot';
import { atLeast, group, oneOf, setting } from '../../base/schema.js';
import { pairMatchingLoss } from '../../losses/index.js';
import {
  createDistillation,
  distillationEntries,
  distillationLosses,
  weighted,
} from './distill.js';
import { captionGroups, requireTensor, toUnit } from './features.js';
import { PairMatcher } from './pair-matcher.js';
import { createStages, stagesSetting } from './stages.js';
import { defineStrategy } from './strategy.js';

const losses = [...distillationLosses, 'matching'] as const;

/** The matcher, and the modules of distillation. */
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
 * which classifies pairs against hard negatives of the batch. The paper publishes neither weights nor
 * details: those of distillation are CLIP-KD's, a weight of 1 for matching and all else about it is
 * ours. Same captions are never negatives of the matcher.
 */
export const siclip = defineStrategy({
  schema: group({
    type: v.literal('siclip'),
    ...distillationEntries,
    matching: setting(atLeast(0), 1, 'Weight of the matching loss.'),
    negatives: setting(
      oneOf('hardest', 'assignment'),
      'hardest',
      'Choice of hard negatives: the most similar other one, or one to one.',
    ),
    combine: setting(
      oneOf('product', 'product-and-both'),
      'product',
      "The matcher's input: the product of the features, or both of them as well.",
    ),
    stages: stagesSetting(losses),
  }),
  create(settings, context) {
    const { negatives, combine } = settings;
    const stages = createStages('siclip', settings, losses);
    const distilled = createDistillation(settings, context, { name: 'siclip', stages });
    const width = context.model.embedDim;
    const matcher = new PairMatcher({ width, combine, generator: context.generator });
    return {
      ...distilled,
      module: new SiclipModules(matcher, distilled.module),
      losses(features, step) {
        const matching = () =>
          pairMatchingLoss(
            {
              image: toUnit(requireTensor(features, 'image')),
              text: toUnit(requireTensor(features, 'text')),
            },
            {
              match: (image, text) => matcher.forward(image, text),
              choice: negatives,
              groups: captionGroups(step.samples, step.model.logitScale.device),
            },
          );
        return {
          ...distilled.losses(features, step),
          ...weighted(stages.at(step.progress), { matching }),
        };
      },
    };
  },
});
