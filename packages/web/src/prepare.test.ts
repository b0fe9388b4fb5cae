import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromTypedArray } from '@bantam/torch';
import { evalTransform, normalizePixels, preprocessFor } from 'bantam/experimental';
import { prepareImage } from './prepare.js';
import type { ImagePreprocess, RgbImage } from './types.js';

/** An image with noise, hard borders and flat regions. */
function image(width: number, height: number): RgbImage {
  let state = width * 65_537 + height;
  const data = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const x = Math.floor(i / 3) % width;
    if (x % 16 < 5) return 0;
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return x % 16 < 8 ? 255 : state >>> 24;
  });
  return { width, height, data };
}

/** An image as Bantam prepares it, by its addon and libtorch. */
function reference(pixels: RgbImage, preprocess: ImagePreprocess): Float32Array {
  const { size } = preprocess;
  const { data } = evalTransform(pixels, preprocess);
  using raw = fromTypedArray(data, { shape: [1, size, size, 3] });
  using prepared = normalizePixels(raw, preprocess);
  return prepared.toTypedArray() as Float32Array;
}

const images = [
  [64, 64],
  [1, 1],
  [3, 200],
  [200, 3],
  [223, 225],
  [224, 224],
  [640, 427],
  [427, 640],
  [1023, 769],
  [33, 1500],
  [97, 61],
].map(([width = 0, height = 0]) => image(width, height));

describe('prepareImage', () => {
  for (const interpolation of ['bicubic', 'bilinear'] as const) {
    for (const resizeMode of ['shortest', 'squash'] as const) {
      for (const antialias of [true, false]) {
        it(`equals Bantam's addon bit for bit: ${interpolation}, ${resizeMode}, ${antialias ? '' : 'no '}antialias`, () => {
          for (const size of [32, 64, 224]) {
            const preprocess = preprocessFor(size, { interpolation, resizeMode, antialias });
            for (const pixels of images) {
              const expected = reference(pixels, preprocess);
              const made = prepareImage(pixels, preprocess);
              assert.ok(
                Buffer.from(made.buffer).equals(Buffer.from(expected.buffer)),
                `${pixels.width} × ${pixels.height} to ${size}`,
              );
            }
          }
        });
      }
    }
  }

  it('normalises every level of every channel as libtorch does', () => {
    const width = 16;
    const data = Uint8Array.from({ length: 768 }, (_, i) => Math.floor(i / 3));
    for (const mean of [0, 0.48145466, 0.5]) {
      const statistics = { mean: [mean, 0.406, 0.1], std: [0.229, 0.27577711, 1] } as const;
      const preprocess = preprocessFor(width, statistics);
      const pixels = { width, height: width, data };
      assert.deepEqual(prepareImage(pixels, preprocess), reference(pixels, preprocess));
    }
  });
});
