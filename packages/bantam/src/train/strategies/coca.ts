import { mul, narrow } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { atLeast } from '../../base/fields.js';
import { captionCosts, captionLoss } from '../../losses/index.js';
import type { StrategyKind } from './strategy.js';
import { auxiliaryFeature } from './auxiliary.js';
import { contrastiveFields, withLogits, type ContrastiveSettings } from './contrastive.js';
import { inFullPrecision } from './features.js';
import { encodeView, pairStrategy, present, towerFlops, trainedPasses } from './pair.js';

/** Settings of {@link coca}. */
export interface CocaSettings extends ContrastiveSettings {
  /** What the captioning loss counts beside the contrastive one. */
  readonly captionWeight: number;
}

/**
 * CoCa (Yu et al. 2022, section 3.2): CLIP whose model also writes the caption, each token from those
 * before it and the picture. The captioning loss is the mean over all tokens of the batch.
 */
export const coca: StrategyKind<CocaSettings> = {
  type: 'coca',
  fields: { ...contrastiveFields(), captionWeight: atLeast(0, 2) },
  adapt: withLogits,
  create(settings, options) {
    const { decoder, text } = options.model;
    if (decoder === null) {
      throw new BantamError(
        `The strategy 'coca' needs a model with a decoder, which writes captions; take a preset that has one, such as "coca_ViT-Nano-16-64".`,
      );
    }
    const pair = pairStrategy(settings, options);
    return {
      ...pair,
      encode(batch, context) {
        const { text: tower, textDecoder } = context.model;
        const image = encodeView(batch, 'image', context, { tokens: true });
        const caption = tower.encode(batch.ids, { tokens: true });
        if (textDecoder === null || image.tokens === null || caption.tokens === null) {
          throw new RangeError('The model has no decoder, or no tokens for it.');
        }
        // What follows the last token is not known.
        const known = narrow(caption.tokens, 1, 0, batch.ids.dim(1) - 1);
        const logits = inFullPrecision(textDecoder.forward(known, image.tokens));
        const { cost, tokens } = captionCosts(logits, batch.ids, text.padId);
        return {
          image: image.pooled,
          text: caption.pooled,
          captionCost: cost,
          captionTokens: tokens,
          ...auxiliaryFeature([image, caption]),
        };
      },
      losses(features, context) {
        const [cost, tokens] = [
          present(features, 'captionCost'),
          present(features, 'captionTokens'),
        ];
        const caption = captionLoss({ cost, tokens });
        return { ...pair.losses(features, context), caption: mul(caption, settings.captionWeight) };
      },
      flops: (model, cost) =>
        pair.flops(model, cost) + trainedPasses(cost) * (towerFlops(model, cost).decoder ?? 0),
      // What the decoder knows without the features is not fixed.
      collapsed: () => null,
    };
  },
};
