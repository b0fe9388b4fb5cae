import { index, oneOf, share, type Fields } from '../../base/fields.js';
import { imageTowerKind } from '../../models/index.js';
import type { TextReduction } from '../../text/index.js';
import { reducedThenFull } from './phases.js';
import type { StrategyKind } from './strategy.js';
import { contrastiveFields, withLogits, type ContrastiveSettings } from './contrastive.js';
import { requireMasks, tuningFields, type TuningSettings } from './flip.js';
import { pairStrategy } from './pair.js';

/** Settings of {@link clipa}. */
export interface ClipaSettings extends ContrastiveSettings, TuningSettings {
  /** Edge of the pictures in training, in pixels; 0: half of the model's. */
  readonly imageSize: number;
  /** Share of the patches that training leaves out. */
  readonly maskRatio: number;
  /** The most tokens of a caption in training; 0: half of the context. */
  readonly textLength: number;
  /** Which tokens stay. */
  readonly textMethod: TextReduction['method'];
}

const fields: Fields<ClipaSettings> = {
  ...contrastiveFields(),
  ...tuningFields,
  imageSize: index(0),
  maskRatio: share(0),
  textLength: index(0),
  textMethod: oneOf('syntax', 'truncate', 'random', 'block'),
};

/**
 * CLIPA, the inverse scaling law (Li et al. 2023, section 3): training on smaller pictures and
 * shorter captions, then a short tuning at full length.
 */
export const clipa: StrategyKind<ClipaSettings> = {
  type: 'clipa',
  fields,
  adapt: withLogits,
  create(settings, options) {
    const { vision, text } = options.model;
    const imageSize = settings.imageSize === 0 ? vision.imageSize / 2 : settings.imageSize;
    const length =
      settings.textLength === 0 ? Math.ceil(text.contextLength / 2) : settings.textLength;
    imageTowerKind(vision).checkImageSize(vision, imageSize);
    if (settings.maskRatio > 0) {
      requireMasks(`The strategy 'clipa' with "maskRatio" above 0`, options.model);
    }
    const phases = reducedThenFull(
      {
        imageSize,
        ...(settings.maskRatio > 0 && { patchDropout: settings.maskRatio }),
        text: { method: settings.textMethod, length },
      },
      settings,
    );
    return pairStrategy(settings, options, { phases });
  },
};
