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
import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { flag, group, setting } from '../../base/schema.js';
import { evalBatches } from '../../data/index.js';
import { normalizePixels } from '../../models/index.js';
import { contrastiveEntries } from './contrastive.js';
import { auxiliaryFeature, indexTensor } from './features.js';
import { pairStrategy, towerFlops, trainedPasses } from './pair.js';
import { defineStrategy, type Strategy } from './strategy.js';

/**
 * LiT (Zhai et al. 2022, section 3): the image tower is trained already and locked, in
 * evaluation mode; the text tower learns to fit it.
 */
export const lit = defineStrategy({
  schema: group({
    type: v.literal('lit'),
    ...contrastiveEntries('softmax'),
    storeFeatures: setting(
      flag(),
      true,
      "Compute the images' features once, before training and without augmentation, and keep them in memory (4 bytes for each member); false: compute them for every augmented view.",
    ),
  }),
  create(settings, context) {
    if (!context.trained.image) {
      throw new BantamError(
        "The strategy 'lit' locks an image tower that is trained already; name the model directory that it comes from with --init-image, or --init for both towers.",
      );
    }
    const pair = pairStrategy(settings, context);
    const strategy: Strategy = {
      ...pair,
      frozen: ['visual.*'],
      flops(model, cost) {
        const { image, text } = towerFlops(model, cost);
        const locked = settings.storeFeatures ? 0 : cost.forwardPasses * image;
        return trainedPasses(cost, 'text') * text + locked;
      },
    };
    if (!settings.storeFeatures) return strategy;
    return { ...withStoredFeatures(strategy), storedBytes: 4 * context.model.embedDim };
  },
});

/** Images' features from memory instead of from the tower. */
function withStoredFeatures(strategy: Strategy): Strategy {
  let stored: Tensor | undefined;
  return {
    ...strategy,
    views: () => ({}),
    async prepare({ model, source, preprocess, precision, batchSize, signal, ...run }) {
      const { device, dtype } = model.logitScale;
      // Of all images: in the machine's memory, of which there is more.
      const features = keep(zeros([source.size, model.config.embedDim], { dtype, device: 'cpu' }));
      const missing = new Set(Array.from({ length: source.size }, (_, index) => index));
      for await (const batch of evalBatches(source, { preprocess, batchSize, ...run })) {
        signal?.throwIfAborted();
        scope(() => {
          noGrad(() => {
            const { size, height, width, images } = batch;
            const raw = fromTypedArray(images, { shape: [size, height, width, 3], device });
            const pixels = to(normalizePixels(raw, preprocess), { dtype });
            const { pooled } = autocast(precision, () => model.visual.encode(pixels), { device });
            const rows = indexTensor(batch.indices, 'cpu');
            indexCopy_(features, 0, rows, to(pooled, { dtype, device: 'cpu' }));
          });
        });
        for (const index of batch.indices) missing.delete(index);
        run.onProgress(`features of ${source.size - missing.size} of ${source.size} images`);
        await setImmediate();
      }
      run.exclude(missing);
      stored?.dispose();
      stored = features;
    },
    encode({ ids, indices }, { model }) {
      if (stored === undefined) throw new RangeError('LiT was not prepared.');
      const rows = indexSelect(stored, 0, indexTensor(indices, 'cpu'));
      const text = model.text.encode(ids);
      return {
        image: to(rows, { device: ids.device, wait: false }),
        text: text.pooled,
        ...auxiliaryFeature([text]),
      };
    },
    [Symbol.dispose]() {
      stored?.dispose();
    },
  };
}
