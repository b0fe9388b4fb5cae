import { add, mean, type Tensor } from '@bantam/torch';
import type { Encoded } from '../../models/index.js';
import type { Features, Losses } from './strategy.js';

/** What towers add to the loss, one value per sample, as a feature; nothing where they add nothing. */
export function auxiliaryFeature(encoded: readonly Pick<Encoded, 'auxiliaryLoss'>[]): Features {
  const [first, ...rest] = encoded.flatMap(({ auxiliaryLoss }) => auxiliaryLoss ?? []);
  return first === undefined ? {} : { auxiliary: rest.reduce(add, first) };
}

/** The loss of {@link auxiliaryFeature}: its mean. */
export function auxiliaryLoss({ auxiliary }: { auxiliary?: Tensor | undefined }): Losses {
  return auxiliary === undefined ? {} : { auxiliary: mean(auxiliary) };
}
