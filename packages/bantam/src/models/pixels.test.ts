import assert from 'node:assert/strict';
import { it } from 'node:test';
import {
  div,
  fromTypedArray,
  permute,
  sub,
  tensor,
  to,
  transpose,
  type Tensor,
} from '@bantam/torch';
import { normalizePixels } from './preprocess.js';
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

it('normalizePixels equals the composed operators in bits and layout', () => {
  const preprocess = preprocessFor(3);
  const composed = (pixels: Tensor): Tensor => {
    const [mean, std] = [preprocess.mean, preprocess.std].map((each) =>
      tensor(each.map((value) => 255 * value)),
    ) as [Tensor, Tensor];
    return permute(div(sub(to(pixels, { dtype: 'float32' }), mean), std), [0, 3, 1, 2]);
  };
  for (const shape of [
    [1, 1, 1, 3],
    [2, 5, 7, 3],
    [3, 150, 151, 3],
  ]) {
    const length = shape.reduce((product, size) => product * size, 1);
    const levels = Uint8Array.from({ length }, (_, i) => (Math.imul(i, 2654435761) >>> 9) & 255);
    const pixels = fromTypedArray(levels, { shape });
    for (const each of [pixels, transpose(pixels, 1, 2), to(pixels, { dtype: 'float32' })]) {
      const result = normalizePixels(each, preprocess);
      const expected = composed(each);
      assert.deepEqual(result.shape, expected.shape);
      assert.equal(result.isContiguous, expected.isContiguous);
      assert.deepEqual(result.toArray(), expected.toArray());
    }
  }
});
