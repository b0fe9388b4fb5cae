import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from '../../base/at.js';
import { listCandidates } from './candidates.js';
import { estimateCandidates, lackOfMemory, tooLarge } from './memory.js';

const { candidates } = listCandidates({
  metric: 'image_retrieval_recall@10',
  samplesPerEpoch: 1e5,
  contextLength: 16,
  captionTokens: 9,
  hasOwnAugment: false,
  isScored: false,
  models: ['ModifiedResNet-Nano-64'],
});

describe('estimateCandidates', () => {
  it('adds up a process, weights, a batch, and decoded images to an eighth of the limit', () => {
    // Images of 5 MB each, raw, so that the limit alone decides.
    const raw = { width: 1000, height: 1667 };
    const source = { size: 1e5, location: () => ({ path: '', raw }) };
    const own = candidates.filter(({ model }) => model === 'ModifiedResNet-Nano-64, 2 text layers');
    const [first, second] = [0.8, 1.6].map((memory) => estimateCandidates(own, { source, memory }));
    assert.ok(first && second);
    for (const [i, bytes] of first.entries()) {
      assert.ok(Math.abs(at(second, i) - bytes - 0.1e9) < 1, `${bytes}`);
    }
    const [small, large] = [64, 512].map((batch) =>
      at(
        first,
        own.findIndex((one) => one.batch === batch),
      ),
    );
    assert.ok(small && large && small > 0.7e9 && large > 1.5 * small, `${small} ${large}`);
  });
});

describe('lackOfMemory', () => {
  it('names what is enough, also for the images that a higher limit keeps', () => {
    assert.equal(
      lackOfMemory(0.68e9, 0.05).message,
      'No candidate fits a memory of 50 MB: the smallest needs about 800 MB; plan with --memory 800MB or more.',
    );
  });

  it('counts no more decoded images than are ever kept', () => {
    // 2 GiB of images are kept under 20 GB as under 40 GB.
    assert.match(
      lackOfMemory(40e9, 20).message,
      /needs about 40\.0 GB; plan with --memory 40\.0GB/,
    );
  });
});

describe('tooLarge', () => {
  it('names each model once, from the smallest batch on that does not fit', () => {
    const [a, b] = ['a', 'b'].map((model) => [64, 64, 128].map((batch) => ({ model, batch })));
    const bytes = new Map([[2, 3.1e9], [3, 2.5e9], [4, 2.6e9], [5, 4e9]]); // prettier-ignore
    assert.deepEqual(tooLarge([...(a ?? []), ...(b ?? [])], bytes, 2), [
      { name: 'a with batches of 128 or more', reason: 'it would take at least 3.1 GB of memory, and 2.0 GB are allowed' },
      { name: 'b', reason: 'it would take at least 2.5 GB of memory, and 2.0 GB are allowed' },
    ]); // prettier-ignore
  });
});
