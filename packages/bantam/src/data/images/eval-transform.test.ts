import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import * as color from '../augment/color.js';
import { decodeImage } from './decode.js';
import { crop, type Pixels } from './pixels.js';
import { resample, type ResampleOptions } from './resample.js';
import { resampleWindow } from './resample-window.js';
import { CounterRng } from '../counter-rng.js';
import { evalTransform } from './eval-transform.js';
import type { Geometry } from './eval-geometry.js';

/** Values of OpenCLIP, torchvision and PIL; made by `fixtures/generate_data.py`. */
interface Expected {
  transforms: (Omit<Geometry, 'antialias'> & {
    image: string;
    expected: string;
    firstRow: number;
  })[];
  colors: {
    pixels: number[];
    changes: {
      change: 'brightness' | 'contrast' | 'saturation' | 'hue';
      factor: number;
      expected: number[];
    }[];
    gray: number[];
  };
  small: { width: number; height: number; pixels: number[] };
  resizes: (Pick<ResampleOptions, 'width' | 'height' | 'interpolation'> & { expected: number[] })[];
}

const fixtures = new URL('../../../fixtures/data/', import.meta.url);
const read = (name: string): Promise<Buffer> => readFile(new URL(name, fixtures));
const expected = JSON.parse((await read('expected.json')).toString()) as Expected;

/** Greatest and mean absolute difference. */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): { most: number; mean: number } {
  assert.equal(a.length, b.length);
  const gaps = Array.from(a, (value, i) => Math.abs(value - (b[i] ?? 0)));
  return {
    most: gaps.reduce((x, y) => Math.max(x, y), 0),
    mean: gaps.reduce((x, y) => x + y, 0) / gaps.length,
  };
}

describe('evalTransform', () => {
  for (const { image, expected: file, firstRow, ...geometry } of expected.transforms) {
    it(`equals OpenCLIP's: ${file}`, async () => {
      const photograph = await decodeImage(await read(image));
      const { width, data } = evalTransform(photograph, { ...geometry, antialias: true });
      const reference = await decodeImage(await read(file));
      const rows = data.subarray(firstRow * width * 3, (firstRow + reference.height) * width * 3);
      const { most, mean } = difference(rows, reference.data);
      // The arithmetic is PIL's; only another JPEG decoder may differ.
      assert.ok(most <= 1 && mean < 0.3, `most ${most}, mean ${mean}`);
    });
  }

  it('leaves an image of the right size alone', () => {
    const { width, pixels } = { width: 4, pixels: Uint8Array.from({ length: 48 }, (_, i) => i) };
    const geometry = { size: 4, interpolation: 'bicubic', antialias: true } as const;
    for (const resizeMode of ['shortest', 'squash'] as const) {
      const made = evalTransform({ width, height: 4, data: pixels }, { ...geometry, resizeMode });
      assert.deepEqual(made.data, pixels);
    }
  });
});

describe('resample', () => {
  const { width, height, pixels } = expected.small;
  const small = { width, height, data: Uint8Array.from(pixels) };

  for (const { expected: reference, ...options } of expected.resizes) {
    it(`equals PIL to the bit: ${options.interpolation} to ${options.width}×${options.height}`, () => {
      assert.deepEqual([...resample(small, options).data], reference);
    });
  }

  it('resizes a box as if it had been cut out', () => {
    const box = { left: 5, top: 3, width: 20, height: 17 };
    const cut = { width: 20, height: 17, data: new Uint8Array(20 * 17 * 3) };
    for (let row = 0; row < 17; row++) {
      const start = ((row + 3) * width + 5) * 3;
      cut.data.set(small.data.subarray(start, start + 60), row * 60);
    }
    const to = { width: 9, height: 30, interpolation: 'bicubic' } as const;
    assert.deepEqual(resample(small, { ...to, box }).data, resample(cut, to).data);
  });

  it('without antialias looks at the nearest pixels alone', () => {
    // Halving an axis of 8: the centres lie between two pixels, which weigh the same.
    const row = Uint8Array.from({ length: 24 }, (_, i) => Math.floor(i / 3) * 10);
    const options = { width: 4, height: 1, interpolation: 'bilinear', antialias: false } as const;
    const { data } = resample({ width: 8, height: 1, data: row }, options);
    assert.deepEqual(
      [...data].filter((_, i) => i % 3 === 0),
      [5, 25, 45, 65],
    );
  });
});

describe('color changes', () => {
  const changes = {
    brightness: color.adjustBrightness,
    contrast: color.adjustContrast,
    saturation: color.adjustSaturation,
    hue: color.adjustHue,
  };
  for (const { change, factor, expected: reference } of expected.colors.changes) {
    it(`equal torchvision's: ${change} ${factor}`, () => {
      const data = Uint8Array.from(expected.colors.pixels);
      changes[change](data, factor);
      // PIL turns hues in 8 bits, which loses more than it is worth to copy.
      const allowed = change === 'hue' ? { most: 12, mean: 2 } : { most: 0, mean: 0 };
      const { most, mean } = difference(data, reference);
      assert.ok(most <= allowed.most && mean <= allowed.mean, `most ${most}, mean ${mean}`);
    });
  }

  it("equal PIL's: gray", () => {
    const data = Uint8Array.from(expected.colors.pixels);
    color.toGray(data);
    assert.deepEqual([...data], expected.colors.gray);
  });
});

describe('evalTransform of long and thin images', () => {
  const noise = (width: number, height: number): Pixels => {
    const rng = new CounterRng({ seed: 3, purpose: 'noise', epoch: 0 });
    const data = Uint8Array.from({ length: width * height * 3 }, () => rng.integer(256));
    return { width, height, data };
  };

  for (const interpolation of ['bicubic', 'bilinear'] as const) {
    for (const [width, height] of [
      [3, 61],
      [97, 7],
      [300, 20],
      [12, 300],
    ] as const) {
      it(`equals the crop of the whole, ${width} × ${height}, ${interpolation}`, () => {
        const pixels = noise(width, height);
        const whole = { width: width * 3 + 1, height: height * 2, interpolation };
        const window = { left: 4, top: 1, width: 6, height: 9 };
        assert.deepEqual(
          resampleWindow(pixels, whole, window).data,
          crop(resample(pixels, whole), window).data,
        );
        const smaller = {
          width: Math.ceil(width / 2),
          height: Math.ceil(height / 3),
          interpolation,
        };
        const inner = { left: 0, top: 0, width: 2, height: 2 };
        assert.deepEqual(
          resampleWindow(pixels, smaller, inner).data,
          crop(resample(pixels, smaller), inner).data,
        );
      });
    }
  }

  it('takes no memory for what is cropped away', () => {
    const before = process.memoryUsage.rss();
    const geometry = { size: 256, interpolation: 'bicubic', antialias: true } as const;
    for (const pixels of [noise(1, 20_000), noise(20_000, 1)]) {
      const result = evalTransform(pixels, { ...geometry, resizeMode: 'shortest' });
      assert.deepEqual(
        [result.width, result.height, result.data.length],
        [256, 256, 256 * 256 * 3],
      );
    }
    assert.ok(process.memoryUsage.rss() - before < 2 ** 27);
  });
});
