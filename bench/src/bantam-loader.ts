import { at, fromTypedArray, mean, scope } from '@bantam/torch';
import { openSource, type Source } from 'bantam';
import {
  clipTokenizer,
  Loader,
  normalizePixels,
  preprocessFor,
  type ImageAugment,
} from 'bantam/experimental';
import type { OpenWorkload } from './bantam-workloads.js';
import type { LoadWorkload } from './protocol.js';

/** OpenCLIP's training transform. */
const augment: ImageAugment = [{ op: 'random-resized-crop', scale: [0.9, 1] }];

function sourceOf({ format, data, shards }: LoadWorkload): Promise<Source> {
  const last = String(shards - 1).padStart(6, '0');
  return openSource(format === 'csv' ? `csv:${data}` : `wds:${data}/{000000..${last}}.tar`);
}

/**
 * Epochs of batches as training takes them: pixels normalised, captions encoded. A step is an
 * epoch with fresh workers and nothing kept decoded from the one before.
 */
export async function openLoader(workload: LoadWorkload): Promise<OpenWorkload> {
  const { batch: batchSize, size, workers } = workload;
  const source = await sourceOf(workload);
  const preprocess = preprocessFor(size);
  const tokenizer = await clipTokenizer({ mergesFile: workload.vocabulary, contextLength: 77 });
  let epoch = 0;
  const runEpoch = async (): Promise<number[]> => {
    const options = { batchSize, size, workers, seed: 0, cacheBytes: 0, views: { image: augment } };
    const loader = new Loader(source, options);
    let sums = [0, 0, 0];
    let left = loader.batchesPerEpoch;
    for await (const batch of loader.batches({ epoch: epoch++ })) {
      const { images, captions } = batch;
      tokenizer.encodeBatch(captions, { length: 'longest' });
      const means = scope(() => {
        const rows = images.image ?? new Uint8Array();
        const pixels = fromTypedArray(rows, { shape: [batchSize, size, size, 3], copy: false });
        return mean(normalizePixels(pixels, preprocess), { dim: [0, 2, 3] }).toArray();
      });
      sums = sums.map((sum, channel) => sum + at(means, channel) / loader.batchesPerEpoch);
      loader.recycle(batch);
      if (--left === 0) break;
    }
    await loader.close();
    return sums;
  };
  return {
    async check() {
      const start = performance.now();
      const channelMeans = await runEpoch();
      return { channelMeans, seconds: (performance.now() - start) / 1000 };
    },
    async run(steps) {
      const start = performance.now();
      for (let step = 0; step < steps; step++) await runEpoch();
      return { seconds: (performance.now() - start) / 1000 };
    },
  };
}
