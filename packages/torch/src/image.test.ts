import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { decodeJpeg, resampleForms, resampleRgb, type RgbImage } from './image.js';

/** A image of pseudo-random bytes whose memory ends with it. */
function noise(width: number, height: number): RgbImage {
  let state = width * 7919 + height;
  const data = Uint8Array.from({ length: width * height * 3 }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return state >>> 24;
  });
  return { width, height, data };
}

describe('resampleRgb', () => {
  const forms = resampleForms.filter((form) => form !== 'plain');

  it('gives the same bytes with vector instructions as without', { skip: !forms.length }, () => {
    for (const [width, height] of [
      [1, 1],
      [5, 3],
      [33, 20],
      [64, 50],
      [301, 97],
    ] as const) {
      const image = noise(width, height);
      const half = { width: Math.ceil(width / 2), height: Math.ceil(height / 2) };
      const boxes = [
        { left: 0, top: 0, width, height },
        { left: 0, top: 0, ...half },
        { left: width - half.width, top: height - half.height, ...half },
      ];
      for (const box of boxes) {
        for (const [across, down] of [
          [1, 1],
          [7, 9],
          [40, 40],
          [width, 13],
          [13, height],
        ] as const) {
          for (const interpolation of ['bicubic', 'bilinear'] as const) {
            for (const antialias of [true, false]) {
              const options = { width: across, height: down, box, interpolation, antialias };
              const plain = resampleRgb(image, { ...options, form: 'plain' });
              for (const form of forms) {
                const same = resampleRgb(image, { ...options, form });
                assert.deepEqual(same, plain, JSON.stringify({ ...options, form }));
              }
            }
          }
        }
      }
    }
  });

  it('keeps a constant, also at the ends of the range, and overshoots to no other', () => {
    for (const level of [0, 1, 128, 255]) {
      const flat = { width: 50, height: 40, data: new Uint8Array(6000).fill(level) };
      const resized = resampleRgb(flat, { width: 23, height: 61, interpolation: 'bicubic' });
      assert.ok(resized.every((value) => value === level));
    }
  });

  it('may write over the image that it reads', () => {
    const image = noise(30, 30);
    const options = { width: 12, height: 15, interpolation: 'bicubic' } as const;
    const expected = resampleRgb(image, options);
    assert.deepEqual(resampleRgb(image, { ...options, target: image.data }), expected);
  });

  it('refuses a box outside the image and memory that is too small', () => {
    const image = noise(8, 8);
    const to = { width: 4, height: 4, interpolation: 'bilinear' } as const;
    for (const box of [
      { left: 1, top: 0, width: 8, height: 8 },
      { left: -1, top: 0, width: 4, height: 4 },
      { left: 0, top: 0, width: 0, height: 4 },
    ]) {
      assert.throws(() => resampleRgb(image, { ...to, box }), RangeError);
    }
    assert.throws(() => resampleRgb(image, { ...to, target: new Uint8Array(47) }), RangeError);
    assert.throws(
      () => resampleRgb({ ...image, data: image.data.subarray(1) }, to),
      /cannot be resized/,
    );
  });

  it('lets a worker end in the middle of its work', async () => {
    const module = new URL('./image.js', import.meta.url).href;
    const script = `
      import { resampleRgb } from '${module}';
      import { parentPort } from 'node:worker_threads';
      const data = new Uint8Array(3 * 400 * 400);
      parentPort.postMessage('started');
      for (;;) resampleRgb({ width: 400, height: 400, data }, { width: 9, height: 9, interpolation: 'bicubic' });`;
    const url = new URL(`data:text/javascript,${encodeURIComponent(script)}`);
    for (let attempt = 0; attempt < 5; attempt++) {
      const worker = new Worker(url);
      await new Promise((resolve) => worker.once('message', resolve));
      assert.equal(await worker.terminate(), 1);
    }
  });
});

describe('decodeJpeg', () => {
  it('leaves what is no JPEG file to others', () => {
    assert.equal(decodeJpeg(new Uint8Array(0)), undefined);
    assert.equal(decodeJpeg(Uint8Array.of(0xff, 0xd8, 0xff, 0xd9)), undefined);
    assert.equal(decodeJpeg(noise(9, 9).data), undefined);
  });
});
