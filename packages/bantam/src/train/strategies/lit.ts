import {
  autocast,
  fromTypedArray,
  indexCopy_,
  indexSelect,
  keep,
  noGrad,
  scope,
  to,
  zeros,
  type Tensor,
} from '@bantam/torch';
import { setImmediate } from 'node:timers/promises';
import { evalBatches } from '../../data/index.js';
import { BantamError } from '../../base/errors.js';
import { flag } from '../../base/fields.js';
import { normalizePixels } from '../../models/index.js';
import type { Strategy, StrategyKind } from './strategy.js';
import { auxiliaryFeature } from './auxiliary.js';
import { contrastiveFields, withLogits, type ContrastiveSettings } from './contrastive.js';
import { indexTensor } from './features.js';
import { pairStrategy, towerFlops, trainedPasses } from './pair.js';

/** Settings of {@link lit}. */
export interface LitSettings extends ContrastiveSettings {
  /**
   * Compute the picture's features once, before training and without augmentation, and keep them in
   * memory (4 bytes for each of the `embedDim` members); false: compute them for every augmented view.
   */
  readonly storeFeatures: boolean;
}

/**
 * LiT (Zhai et al. 2022, section 3): the image tower comes trained and stays as it is, in evaluation
 * mode; the text tower learns to read for it.
 */
export const lit: StrategyKind<LitSettings> = {
  type: 'lit',
  fields: { ...contrastiveFields(), storeFeatures: flag(true) },
  adapt: withLogits,
  create(settings, options) {
    if (!options.trained.image) {
      throw new BantamError(
        "The strategy 'lit' locks an image tower that is trained already; name the model directory that it comes from with --init-image, or --init for both towers.",
      );
    }
    const pair = pairStrategy(settings, options);
    const strategy: Strategy = {
      ...pair,
      frozen: ['visual.*'],
      flops(model, cost) {
        const { image, text } = towerFlops(model, cost);
        const locked = settings.storeFeatures ? 0 : cost.forwardPasses * image;
        return trainedPasses(cost) * text + locked;
      },
    };
    if (!settings.storeFeatures) return strategy;
    return { ...withStoredFeatures(strategy), storedBytes: 4 * options.model.embedDim };
  },
};

/** Pictures' features from memory instead of from the tower. */
function withStoredFeatures(strategy: Strategy): Strategy {
  let stored: Tensor | undefined;
  return {
    ...strategy,
    views: () => ({}),
    async prepare({ model, source, preprocess, precision, batchSize, signal, ...run }) {
      const features = keep(zeros([source.size, model.config.embedDim]));
      const missing = new Set(Array.from({ length: source.size }, (_, index) => index));
      for await (const batch of evalBatches(source, { preprocess, batchSize, ...run })) {
        signal?.throwIfAborted();
        scope(() => {
          noGrad(() => {
            const { size, height, width, images } = batch;
            const raw = fromTypedArray(images, { shape: [size, height, width, 3] });
            const pixels = normalizePixels(raw, preprocess);
            const { pooled } = autocast(precision, () => model.visual.encode(pixels));
            const places = indexTensor(batch.indices);
            indexCopy_(features, 0, places, to(pooled, { dtype: 'float32' }));
          });
        });
        for (const index of batch.indices) missing.delete(index);
        run.onProgress(`features of ${source.size - missing.size} of ${source.size} pictures`);
        await setImmediate();
      }
      run.exclude(missing);
      stored?.dispose();
      stored = features;
    },
    encode({ ids, indices }, { model }) {
      if (stored === undefined) throw new RangeError('LiT was not prepared.');
      const places = indexTensor(indices);
      const text = model.text.encode(ids);
      return {
        image: indexSelect(stored, 0, places),
        text: text.pooled,
        ...auxiliaryFeature([text]),
      };
    },
    [Symbol.dispose]() {
      stored?.dispose();
    },
  };
}
