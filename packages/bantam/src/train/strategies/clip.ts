import * as v from 'valibot';
import { group, oneOf, setting } from '../../base/schema.js';
import { augmentations } from '../../data/index.js';
import { contrastiveEntries } from './contrastive.js';
import { pairStrategy } from './pair.js';
import { defineStrategy } from './strategy.js';

/** CLIP (Radford et al. 2021): images and captions, contrasted within the batch. */
export const clip = defineStrategy({
  schema: group({ type: v.literal('clip'), ...contrastiveEntries('softmax') }),
  create: pairStrategy,
});

/** SigLIP (Zhai et al. 2023): CLIP with a sigmoid loss, every pair independent. */
export const siglip = defineStrategy({
  schema: group({ type: v.literal('siglip'), ...contrastiveEntries('sigmoid') }),
  create: pairStrategy,
});

/** FastCLIP (Wei et al. 2024): CLIP whose loss is estimated over the whole data set. */
export const fastclip = defineStrategy({
  schema: group({ type: v.literal('fastclip'), ...contrastiveEntries('global') }),
  create: pairStrategy,
});

/** CLIP with strong augmentation of the image (Li et al. 2024, Scaling (Down) CLIP, section 6). */
export const clipDa = defineStrategy({
  schema: group({
    type: v.literal('clip-da'),
    ...contrastiveEntries('softmax'),
    augmentation: setting(
      oneOf('stacked-rand-augment', 'rand-augment', 'crop-flip'),
      'stacked-rand-augment',
      "Augmentation in place of the source's own, by its name.",
    ),
  }),
  augment: ({ augmentation }) => augmentations[augmentation],
  create: pairStrategy,
});
