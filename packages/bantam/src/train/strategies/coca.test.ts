import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { fromTypedArray, scope } from '@bantam/torch';
import { generateCaptions, loadModel, normalizePixels, withChanges } from '../../models/index.js';
import { tinyCoca, TinyRuns } from '../../test-support/tiny-runs.js';

const runs = new TinyRuns();
before(() => runs.make());
after(() => {
  runs.remove();
});

const small = withChanges(tinyCoca, {
  embedDim: 48,
  vision: { patchSize: 8, width: 32, headWidth: 16 },
  text: { width: 48, heads: 3 },
  decoder: { heads: 3 },
});

/** Images of one colour each, in shades that training never saw. */
async function images(size: number): Promise<{ colour: string; pixels: Uint8Array }[]> {
  const shades = { red: '#c33', green: '#383', blue: '#33c', yellow: '#cc3' };
  return Promise.all(
    Object.entries(shades).map(async ([colour, background]) => {
      const image = sharp({ create: { width: size, height: size, channels: 3, background } });
      return { colour, pixels: new Uint8Array(await image.raw().toBuffer()) };
    }),
  );
}

describe('coca', () => {
  it('learns to write captions of new images, and a saved model still does', async () => {
    await runs.train('coca', {
      model: small,
      strategy: 'coca',
      budget: '1280samples',
      train: { lr: 5e-3, batchSize: 16 },
    });
    const loaded = await loadModel(runs.path('coca', 'model'));
    using model = loaded.model;
    const { tokenizer, preprocess } = loaded;
    const { size } = preprocess;
    for (const { colour, pixels } of await images(size)) {
      const raw = fromTypedArray(pixels, { shape: [1, size, size, 3] });
      for (const method of ['greedy', 'beam'] as const) {
        const [[caption = ''] = []] = scope(() =>
          generateCaptions(model, normalizePixels(raw, preprocess), { tokenizer, method }),
        );
        assert.match(caption, new RegExp(`\\b${colour}\\b`));
      }
      raw.dispose();
    }
  });
});
