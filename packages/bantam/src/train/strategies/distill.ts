import { listOf, section } from '../../base/fields.js';
import type { StrategyKind } from './strategy.js';
import { withLogits } from './contrastive.js';
import {
  distillation,
  distillationFields,
  distillationLosses,
  distillationStageFields,
  reinforcedOf,
  teachersOf,
  type DistillationLoss,
  type DistillationSettings,
} from './distillation.js';
import { createStages, type StagedSettings } from './stages.js';

/** Settings of {@link distill}. */
export type DistillSettings = DistillationSettings & StagedSettings<DistillationLoss>;

/**
 * CLIP for a student with one or more trained teachers (CLIP-KD, Yang et al. 2023; TinyCLIP, Wu et al.
 * 2023; the average of several teachers as MobileCLIP has it, Vasu et al. 2024), in stages with factors
 * of their own where they are asked for.
 */
export const distill: StrategyKind<DistillSettings> = {
  type: 'distill',
  fields: {
    ...distillationFields,
    stages: listOf(section(distillationStageFields)),
  },
  adapt: withLogits,
  models: teachersOf,
  reinforced: reinforcedOf,
  create: (settings, options) =>
    distillation(settings, options, {
      name: 'distill',
      stages: createStages('distill', settings, distillationLosses),
    }),
};
