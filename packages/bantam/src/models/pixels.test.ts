import assert from 'node:assert/strict';
import { it } from 'node:test';
import { fromTypedArray } from '@bantam/torch';
import { normalizePixels } from './pixels.js';
import { preprocessFor } from './preprocess.js';

it('normalizePixels is (x/255 − mean)/std, channels first', () => {
  const pixels = Uint8Array.from({ length: 2 * 2 * 3 * 3 }, (_, i) => (i * 37) % 256);
  const preprocess = preprocessFor(3);
  const result = normalizePixels(fromTypedArray(pixels, { shape: [2, 2, 3, 3] }), preprocess);
  assert.deepEqual(result.shape, [2, 3, 2, 3]);
  const expected: number[] = [];
  for (let image = 0; image < 2; image++)
    for (const channel of [0, 1, 2] as const)
      for (let place = 0; place < 6; place++) {
        const value = pixels[(image * 6 + place) * 3 + channel] ?? NaN;
        expected.push((value / 255 - preprocess.mean[channel]) / preprocess.std[channel]);
      }
  result.toArray().forEach((value, i) => {
    assert.ok(Math.abs(value - (expected[i] ?? NaN)) < 1e-6);
  });
});
