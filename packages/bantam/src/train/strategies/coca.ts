import { mul, narrow } from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { atLeast, group, setting } from '../../base/schema.js';
import { captionCosts, captionLoss } from '../../losses/index.js';
import { contrastiveEntries } from './contrastive.js';
import { auxiliaryFeature, inFullPrecision, requireTensor } from './features.js';
import { encodeView, pairStrategy, towerFlops, trainedPasses } from './pair.js';
import { defineStrategy } from './strategy.js';

/**
 * CoCa (Yu et al. 2022, section 3.2): CLIP whose model also writes the caption, each token from those
 * before it and the image. The captioning loss is the mean over all tokens of the batch.
 */
export const coca = defineStrategy({
  schema: group({
    type: v.literal('coca'),
    ...contrastiveEntries('softmax'),
    captionWeight: setting(
      atLeast(0),
      2,
      'Weight of the captioning loss beside the contrastive one.',
    ),
  }),
  create(settings, strategy) {
    const { decoder, text } = strategy.model;
    if (decoder === null) {
      throw new BantamError(
        `The strategy 'coca' needs a model with a decoder, which writes captions; take a preset that has one, such as "coca_ViT-Nano-16-64".`,
      );
    }
    const pair = pairStrategy(settings, strategy);
    return {
      ...pair,
      encode(batch, context) {
        const { text: tower, textDecoder } = context.model;
        const image = encodeView(batch, 'image', context, { tokens: true });
        const caption = tower.encode(batch.ids, { tokens: true });
        if (textDecoder === null || image.tokens === null || caption.tokens === null) {
          throw new RangeError('The model has no decoder, or no tokens for it.');
        }
        // The last token has no successor to predict.
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
        const caption = captionLoss({
          cost: requireTensor(features, 'captionCost'),
          tokens: requireTensor(features, 'captionTokens'),
        });
        return { ...pair.losses(features, context), caption: mul(caption, settings.captionWeight) };
      },
      flops: (model, cost) =>
        pair.flops(model, cost) +
        trainedPasses(cost, 'decoder') * (towerFlops(model, cost).decoder ?? 0),
      // The decoder's loss without the features is not fixed.
      collapsed: () => null,
    };
  },
});
