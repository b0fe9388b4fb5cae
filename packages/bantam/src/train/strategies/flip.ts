import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { fraction, group, positive, setting } from '../../base/schema.js';
import { imageTowerKind, type ModelConfig } from '../../models/index.js';
import { contrastiveEntries } from './contrastive.js';
import { pairStrategy } from './pair.js';
import { reducedThenFull } from './phases.js';
import { defineStrategy } from './strategy.js';

/**
 * Settings of the tuning at full length that ends a cheaper training: by default a tenth of the budget
 * at a tenth of the learning rate. The papers, with budgets a thousand times larger, tune for a
 * hundredth or less.
 */
export const tuningEntries = {
  tuneFraction: setting(
    fraction(),
    0.1,
    'Fraction of the budget for tuning at full length; 0: none.',
  ),
  tuneLr: setting(positive(), 0.1, "Peak learning rate of the tuning, times the training's."),
};

/** @throws BantamError if the image tower has no patch dropout, as the strategy needs it. */
export function requirePatchDropout(
  strategy: string,
  { vision }: Pick<ModelConfig, 'vision'>,
): void {
  if (imageTowerKind(vision).dropsPatches === true) return;
  throw new BantamError(
    `${strategy} needs an image tower that can leave patches out, such as "vit", but this model has "${vision.type}"; choose another model or strategy.`,
  );
}

/**
 * FLIP (Li et al. 2023, section 3): CLIP that drops a random fraction of each image's patches, and a
 * short tuning with all of them at the end.
 */
export const flip = defineStrategy({
  schema: group({
    type: v.literal('flip'),
    ...contrastiveEntries('softmax'),
    maskRatio: setting(fraction(), 0.5, 'Fraction of the patches that training drops.'),
    ...tuningEntries,
  }),
  create(settings, context) {
    requirePatchDropout("The strategy 'flip'", context.model);
    const phases = reducedThenFull({ patchDropout: settings.maskRatio }, settings);
    return pairStrategy(settings, context, { phases });
  },
});
