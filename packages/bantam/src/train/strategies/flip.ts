import { BantamError } from '../../base/errors.js';
import { positive, share, type Fields } from '../../base/fields.js';
import { imageTowerKind, type ModelConfig } from '../../models/index.js';
import { reducedThenFull } from './phases.js';
import type { StrategyKind } from './strategy.js';
import { contrastiveFields, withLogits, type ContrastiveSettings } from './contrastive.js';
import { pairStrategy } from './pair.js';

/** Settings of the tuning at full length that ends a cheaper training. */
export interface TuningSettings {
  /** Its share of the budget; 0: none. */
  readonly tuneShare: number;
  /** Its peak learning rate, as a factor of the training's. */
  readonly tuneLr: number;
}

/**
 * A tenth of the budget at a tenth of the learning rate; the papers, with budgets a thousand times
 * larger, tune for a hundredth or less.
 */
export const tuningFields: Fields<TuningSettings> = {
  tuneShare: share(0.1),
  tuneLr: positive(0.1),
};

/** Settings of {@link flip}. */
export interface FlipSettings extends ContrastiveSettings, TuningSettings {
  /** Share of the patches that training leaves out. */
  readonly maskRatio: number;
}

/** @throws BantamError where the image tower cannot leave patches out, as the strategy needs it. */
export function requireMasks(strategy: string, { vision }: Pick<ModelConfig, 'vision'>): void {
  if (imageTowerKind(vision).leavesPatchesOut === true) return;
  throw new BantamError(
    `${strategy} needs an image tower that can leave patches out, such as "vit", but this model has "${vision.type}"; choose another model or strategy.`,
  );
}

/**
 * FLIP (Li et al. 2023, section 3): CLIP that leaves out a random share of each picture's patches,
 * and a short tuning with all of them at the end.
 */
export const flip: StrategyKind<FlipSettings> = {
  type: 'flip',
  fields: { ...contrastiveFields(), maskRatio: share(0.5), ...tuningFields },
  adapt: withLogits,
  create(settings, options) {
    requireMasks("The strategy 'flip'", options.model);
    const phases = reducedThenFull({ patchDropout: settings.maskRatio }, settings);
    return pairStrategy(settings, options, { phases });
  },
};
