import * as v from 'valibot';
import { fraction, group, index, oneOf, setting } from '../../base/schema.js';
import { imageTowerKind } from '../../models/index.js';
import { contrastiveEntries } from './contrastive.js';
import { requirePatchDropout, tuningEntries } from './flip.js';
import { pairStrategy } from './pair.js';
import { reducedThenFull } from './phases.js';
import { defineStrategy } from './strategy.js';

/**
 * CLIPA, the inverse scaling law (Li et al. 2023, section 3): training on smaller images and shorter
 * captions, then a short tuning at full length.
 */
export const clipa = defineStrategy({
  schema: group({
    type: v.literal('clipa'),
    ...contrastiveEntries('softmax'),
    imageSize: setting(
      index(),
      0,
      "Size of the images in training, in pixels; 0: half of the model's.",
    ),
    maskRatio: setting(fraction(), 0, 'Fraction of the patches that training drops.'),
    textLength: setting(
      index(),
      0,
      'The most tokens of a caption in training; 0: half of the context.',
    ),
    textMethod: setting(
      oneOf('syntax', 'truncate', 'random', 'block'),
      'syntax',
      'Choice of the tokens that stay.',
    ),
    ...tuningEntries,
  }),
  create(settings, context) {
    const { vision, text } = context.model;
    const imageSize = settings.imageSize === 0 ? vision.imageSize / 2 : settings.imageSize;
    const length =
      settings.textLength === 0 ? Math.ceil(text.contextLength / 2) : settings.textLength;
    imageTowerKind(vision).checkImageSize(vision, imageSize);
    if (settings.maskRatio > 0) {
      requirePatchDropout(`The strategy 'clipa' with "maskRatio" above 0`, context.model);
    }
    const phases = reducedThenFull(
      {
        imageSize,
        ...(settings.maskRatio > 0 && { patchDropout: settings.maskRatio }),
        text: { method: settings.textMethod, length },
      },
      settings,
    );
    return pairStrategy(settings, context, { phases });
  },
});
