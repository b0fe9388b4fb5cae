import { clone, noGrad, type Tensor } from '@bantam/torch';
import { BantamError } from '../base/errors.js';
import type { Clip } from '../models/clip.js';
import { convert, entriesOf } from '../models/io/formats/mobileclip-weights.js';

/**
 * The model's tensors in Apple's layout, as copies.
 *
 * @throws BantamError for an image tower of another kind, or a projection with a bias.
 */
export function toMobileClip(model: Clip): Map<string, Tensor> {
  return noGrad(() => {
    const state = new Map<string, Tensor>();
    for (const { name, apple, tensor } of entriesOf(model)) {
      if (apple !== null) {
        state.set(apple, clone(convert(tensor, name, [1, 1, ...tensor.shape])));
      } else if (tensor.toArray().some((value) => value !== 0)) {
        throw new BantamError(
          `MobileCLIP's layout has no place for "${name}", which is not 0; train with "projBias" false, or save the model in another format.`,
        );
      }
    }
    return state;
  });
}
