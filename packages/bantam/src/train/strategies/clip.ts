import { augmentations, type ImageAugment } from '../../data/index.js';
import { oneOf } from '../../base/fields.js';
import type { StrategyKind } from './strategy.js';
import { contrastiveFields, withLogits, type ContrastiveSettings } from './contrastive.js';
import { pairStrategy } from './pair.js';

/** CLIP (Radford et al. 2021): pictures and captions, contrasted within the batch. */
export const clip: StrategyKind<ContrastiveSettings> = {
  type: 'clip',
  fields: contrastiveFields(),
  adapt: withLogits,
  create: pairStrategy,
};

/** SigLIP (Zhai et al. 2023): CLIP with a sigmoid loss, every pair by itself. */
export const siglip: StrategyKind<ContrastiveSettings> = {
  ...clip,
  type: 'siglip',
  fields: contrastiveFields('sigmoid'),
};

/** FastCLIP (Wei et al. 2024): CLIP whose loss is estimated over the whole data set. */
export const fastclip: StrategyKind<ContrastiveSettings> = {
  ...clip,
  type: 'fastclip',
  fields: contrastiveFields('global'),
};

/** Settings of {@link clipDa}. */
export interface ClipDaSettings extends ContrastiveSettings {
  readonly augmentation: 'stacked-rand-augment' | 'rand-augment' | 'crop-flip';
}

/** CLIP with strong augmentation of the picture (Li et al. 2024, Scaling (Down) CLIP, section 6). */
export const clipDa: StrategyKind<ClipDaSettings> = {
  ...clip,
  type: 'clip-da',
  fields: {
    ...contrastiveFields(),
    augmentation: oneOf('stacked-rand-augment', 'rand-augment', 'crop-flip'),
  },
  augment: ({ augmentation }): ImageAugment => augmentations[augmentation],
};
