import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BantamError } from '../../base/errors.js';
import { augmentImage } from './augment.js';
import { resolveAugment, type ImageAugment } from './schema.js';
import { augmentations, emojiAugment, parseAugment } from './presets.js';
import type { Pixels } from '../images/pixels.js';
import { CounterRng } from '../counter-rng.js';

/** A white image with a dark red square in its left half. */
function square(width: number, height: number): Pixels {
  const data = new Uint8Array(width * height * 3).fill(255);
  for (let y = height / 4; y < (height * 3) / 4; y++) {
    for (let x = width / 8; x < width / 2; x++) data.set([90, 10, 20], (y * width + x) * 3);
  }
  return { width, height, data };
}

function augmented(pixels: Pixels, augment: ImageAugment, index = 0, epoch = 0): Pixels {
  const rng = new CounterRng({ seed: 1, purpose: 'augment/image', epoch, index });
  return augmentImage(pixels, resolveAugment(augment), { size: 32, rng });
}

const at = ({ width, data }: Pixels, x: number, y: number): number[] => [
  ...data.subarray((y * width + x) * 3, (y * width + x) * 3 + 3),
];

describe('augmentImage', () => {
  it('depends on the sample and the epoch, and gives the target size', () => {
    const pixels = square(40, 56);
    for (const augment of [...Object.values(augmentations), []]) {
      const { width, height, data } = augmented(pixels, augment);
      assert.deepEqual([width, height, data.length], [32, 32, 32 * 32 * 3]);
      assert.deepEqual(augmented(pixels, augment).data, data);
    }
    const first = augmented(pixels, emojiAugment).data;
    assert.notDeepEqual(augmented(pixels, emojiAugment, 1).data, first);
    assert.notDeepEqual(augmented(pixels, emojiAugment, 0, 1).data, first);
  });

  it('never writes to the pixels that it is given', () => {
    const pixels = square(32, 32);
    const before = pixels.data.slice();
    const everything: ImageAugment = [
      { op: 'flip', p: 1 },
      { op: 'invert', p: 1 },
      { op: 'color-jitter', brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.2 },
      { op: 'dark-strokes', p: 1 },
      { op: 'edges', p: 1 },
      { op: 'grayscale', p: 1 },
      { op: 'gaussian-blur', p: 1 },
      { op: 'solarize', p: 1 },
      { op: 'posterize', p: 1 },
      { op: 'auto-contrast', p: 1 },
      { op: 'equalize', p: 1 },
      { op: 'sharpness', p: 1 },
      { op: 'rotate' },
      { op: 'shear-x' },
      { op: 'shear-y' },
      { op: 'translate-x' },
      { op: 'translate-y' },
      { op: 'rand-augment', n: 30 },
    ];
    for (const step of everything) augmented(pixels, [step]);
    augmented(pixels, everything);
    assert.deepEqual(pixels.data, before);
  });

  it('flips', () => {
    const flipped = augmented(square(32, 32), [{ op: 'flip', p: 1 }]);
    assert.deepEqual(at(flipped, 31 - 4, 16), [90, 10, 20]);
    assert.deepEqual(at(flipped, 4, 16), [255, 255, 255]);
  });

  it('shifts within its reach and fills with white', () => {
    const black = { width: 32, height: 32, data: new Uint8Array(32 * 32 * 3) };
    const shifts = new Set<number>();
    for (let index = 0; index < 200; index++) {
      const { data } = augmented(black, [{ op: 'shift', most: 0.1 }], index);
      const row = data.subarray(16 * 96, 17 * 96);
      const white = row.filter((value) => value === 255).length / 3;
      shifts.add(row[0] === 255 ? white : 0 - white);
    }
    assert.deepEqual(
      [...shifts].sort((a, b) => a - b),
      [-3, -2, -1, 0, 1, 2, 3],
    );
  });

  it('turns color edges into lines and dark outlines into strokes', () => {
    const edges = augmented(square(32, 32), [{ op: 'edges', p: 1 }]);
    assert.deepEqual(at(edges, 10, 16), [255, 255, 255]);
    assert.ok((at(edges, 4, 16)[0] ?? 255) < 128);
    const strokes = augmented(square(32, 32), [{ op: 'dark-strokes', p: 1 }]);
    assert.deepEqual(at(strokes, 10, 16), [0, 0, 0]);
    assert.deepEqual(at(strokes, 30, 16), [255, 255, 255]);
    const pale = { ...square(32, 32), data: new Uint8Array(32 * 32 * 3).fill(200) };
    assert.deepEqual(augmented(pale, [{ op: 'dark-strokes', p: 1 }]).data, pale.data);
  });

  it('crops boxes within the bounds of scale and ratio', () => {
    // On a ramp along x, the greatest and least value tell the box's width.
    const data = Uint8Array.from({ length: 256 * 256 * 3 }, (_, i) => Math.floor(i / 3) % 256);
    const ramp = { width: 256, height: 256, data };
    const widths = Array.from({ length: 300 }, (_, index) => {
      const step = { op: 'random-resized-crop', scale: [0.25, 0.5], ratio: [0.5, 2] } as const;
      const row = augmented(ramp, [step], index).data.filter((_, i) => i % 3 === 0);
      return ((row[30] ?? 0) - (row[1] ?? 0)) * (32 / 29);
    });
    // Widths lie between √(0.25 · 0.5) and √(0.5 · 2) of the side.
    assert.ok(Math.min(...widths) > 256 * 0.33 && Math.max(...widths) < 256 * 1.03);
    assert.ok(Math.min(...widths) < 256 * 0.45 && Math.max(...widths) > 256 * 0.85);
  });

  it('applies an operation with its chance', () => {
    const pixels = square(32, 32);
    let times = 0;
    for (let index = 0; index < 1000; index++) {
      if (augmented(pixels, [{ op: 'invert', p: 0.3 }], index).data[0] === 0) times++;
    }
    assert.ok(Math.abs(times - 300) < 50, String(times));
  });
});

describe('rand-augment', () => {
  it('draws each operation as often as the others, and applies it with its chance', () => {
    // Of an image in one color, these make four that can be told apart.
    const flat = { width: 32, height: 32, data: new Uint8Array(32 * 32 * 3).fill(100) };
    const operations = ['identity', 'invert', 'brightness', 'solarize-add'] as const;
    const step = { op: 'rand-augment', n: 1, magnitude: 5, chance: 0.6, operations } as const;
    const counts = new Map<number, number>();
    for (let index = 0; index < 4000; index++) {
      const level = augmented(flat, [step], index).data[0] ?? 0;
      counts.set(level, (counts.get(level) ?? 0) + 1);
    }
    // Factor 1 at level 0.5 is no change, nor is what was left out.
    assert.deepEqual(
      [...counts.keys()].sort((a, b) => a - b),
      [100, 155],
    );
    // 155 is 255 − 100 and 100 + 55.
    assert.ok(Math.abs((counts.get(155) ?? 0) - 1200) < 120, JSON.stringify([...counts]));
  });

  it('spreads the magnitude normally and negates half of the time', () => {
    // A white image whose shift to either side shows as black columns.
    const white = { width: 32, height: 32, data: new Uint8Array(32 * 32 * 3).fill(255) };
    const step = {
      op: 'rand-augment',
      n: 1,
      magnitude: 5,
      magnitudeStd: 1,
      resampling: 'bilinear',
      operations: ['translate-x'],
      fillColor: [0, 0, 0],
    } as const;
    const ways = Array.from({ length: 2000 }, (_, index) => {
      const row = augmented(white, [step], index).data.subarray(0, 96);
      const black = row.filter((value) => value === 0).length / 3;
      return row[0] === 0 ? -black : black;
    });
    const left = ways.filter((way) => way > 0);
    assert.ok(Math.abs(left.length - 1000) < 120, String(left.length));
    // 0.5 · 0.45 · 32 pixels, and a tenth of 0.45 · 32 around it.
    const sizes = ways.map(Math.abs);
    const mean = sizes.reduce((sum, size) => sum + size, 0) / sizes.length;
    const variance = sizes.reduce((sum, size) => sum + (size - mean) ** 2, 0) / sizes.length;
    assert.ok(Math.abs(mean - 7.2) < 0.15, String(mean));
    assert.ok(Math.abs(Math.sqrt(variance) - 1.47) < 0.15, String(variance));
  });
});

describe('parseAugment', () => {
  it('reads names and lists', () => {
    assert.equal(parseAugment('crop-flip'), augmentations['crop-flip']);
    assert.deepEqual(parseAugment(' [{"op":"flip"}]'), [{ op: 'flip', p: 0.5 }]);
  });

  it('names the nearest name', () => {
    assert.throws(() => parseAugment('crop-flop'), /"crop-flop" \(did you mean "crop-flip"\?\)/);
    assert.throws(() => parseAugment('toString'), /no augmentation "toString"/);
    assert.throws(() => parseAugment('[{"op":'), /not JSON/);
    assert.throws(() => parseAugment('["flip"]'), /a list such as/);
    assert.throws(() => parseAugment('[{"op":"flop"}]'), /did you mean "flip"/);
  });
});

describe('resolveAugment', () => {
  const refusal = (augment: unknown): string => {
    try {
      resolveAugment(augment as ImageAugment);
    } catch (error) {
      assert.ok(error instanceof BantamError);
      return error.message;
    }
    return assert.fail('it was accepted');
  };

  it('accepts the presets, unchanged and spelt out', () => {
    for (const augment of Object.values(augmentations)) {
      const resolved = resolveAugment(augment);
      resolveAugment(resolved);
      assert.deepEqual(JSON.parse(JSON.stringify(resolved)), resolved);
    }
    assert.deepEqual(resolveAugment([{ op: 'flip' }]), [{ op: 'flip', p: 0.5 }]);
    assert.deepEqual(JSON.parse(JSON.stringify(emojiAugment)), emojiAugment);
  });

  it('names what is unknown or out of range', () => {
    assert.match(refusal([{ op: 'flipp' }]), /"flipp" \(did you mean "flip"\?\)/);
    assert.match(refusal([{ op: 'toString' }]), /no image operation "toString"/);
    assert.match(
      refusal([{ op: 'edges', gian: [1, 2] }]),
      /has no setting "gian" \(did you mean "gain"\?\)/,
    );
    assert.match(refusal([{ op: 'flip', p: 1.5 }]), /"p" .* from 0 to 1/);
    assert.match(refusal([{ op: 'edges', gain: [3, 1] }]), /lower first/);
    assert.match(refusal([{ op: 'resize', interpolation: 'area' }]), /"bicubic" or "bilinear"/);
    assert.match(refusal([{ op: 'shift', most: 'far' }]), /a number/);
    assert.match(refusal([{ op: 'posterize', bits: 2.5 }]), /a whole number from 1 to 8/);
    assert.match(refusal([{ op: 'rotate', fillColor: [1, 2] }]), /three levels/);
    assert.match(
      refusal([{ op: 'rand-augment', operations: ['blur'] }]),
      /"operations" of .* "identity" or/,
    );
    assert.match(refusal([{ op: 'rand-augment', magnitude: 11 }]), /from 0 to 10/);
  });
});
