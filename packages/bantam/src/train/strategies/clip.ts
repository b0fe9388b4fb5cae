import { exp, normalize, to, type Tensor } from '@bantam/torch';
import { clipLoss } from '../../losses/index.js';
import type { Strategy } from '../strategy.js';
import { auxiliaryFeature, auxiliaryLoss } from './auxiliary.js';

/** Unit length, in float32 whatever precision the towers ran in. */
function toUnit(features: Tensor): Tensor {
  return normalize(to(features, { dtype: 'float32' }));
}

/**
 * CLIP (Radford et al. 2021, section 2.3): one view of the image, the symmetric softmax contrastive
 * loss over all pairs of the batch, and a learned temperature; and what the towers' routers add.
 */
export const clip: Strategy = {
  name: 'clip',
  views: (augment) => ({ image: augment }),
  encode({ images, ids }, { model, streams }) {
    if (images.image === undefined) throw new RangeError("The batch has no view 'image'.");
    const image = model.visual.encode(images.image, { generator: streams.get('mask') });
    const text = model.text.encode(ids);
    return { image: image.pooled, text: text.pooled, ...auxiliaryFeature([image, text]) };
  },
  losses({ image, text, auxiliary }, model) {
    if (image === undefined || text === undefined) throw new RangeError('Features are missing.');
    return {
      contrastive: clipLoss(toUnit(image), toUnit(text), exp(model.logitScale)),
      ...auxiliaryLoss({ auxiliary }),
    };
  },
};
