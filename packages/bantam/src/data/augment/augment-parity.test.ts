import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { inflateSync } from 'node:zlib';
import * as affine from './affine.js';
import { augmentations } from './presets.js';
import { adjustSharpness, gaussianBlur } from './blur.js';
import * as color from './color.js';
import type { Pixels } from '../images/pixels.js';
import { levelArgument, timmOps, type RandOp } from './rand-augment.js';
import * as tone from './tone.js';

const affineOps = {
  rotate: affine.rotate,
  'shear-x': affine.shearX,
  'shear-y': affine.shearY,
  'translate-x': affine.translateX,
  'translate-y': affine.translateY,
};

const plainOps = {
  'gaussian-blur': gaussianBlur,
  solarize: ({ data }: Pixels, amount: number) => {
    tone.solarize(data, amount);
  },
  'solarize-add': ({ data }: Pixels, amount: number) => {
    tone.solarizeAdd(data, amount);
  },
  posterize: ({ data }: Pixels, amount: number) => {
    tone.posterize(data, amount);
  },
  'auto-contrast': ({ data }: Pixels) => {
    tone.autoContrast(data);
  },
  equalize: ({ data }: Pixels) => {
    tone.equalize(data);
  },
  sharpness: adjustSharpness,
  color: ({ data }: Pixels, amount: number) => {
    color.adjustSaturation(data, amount);
  },
  contrast: ({ data }: Pixels, amount: number) => {
    color.adjustContrast(data, amount);
  },
  brightness: ({ data }: Pixels, amount: number) => {
    color.adjustBrightness(data, amount);
  },
};

/** Values of PIL and timm; made by `fixtures/generate_augment.py`. */
interface Expected {
  images: { width: number; height: number; pixels: string; dull: string }[];
  fill: affine.Rgb;
  results: (
    | {
        op: keyof typeof plainOps;
        image: number;
        dull: boolean;
        amount: number;
        expected: string;
      }
    | {
        op: keyof typeof affineOps;
        image: number;
        amount: number;
        resampling: 'bilinear' | 'bicubic';
        expected: string;
      }
  )[];
  levels: { op: RandOp; magnitude: number; argument: number }[];
  chance: number;
  operations: number;
}

const file = new URL('../../../fixtures/data/augment.json', import.meta.url);
const expected = JSON.parse(readFileSync(file, 'utf8')) as Expected;
const unpack = (text: string): Uint8Array =>
  new Uint8Array(inflateSync(Buffer.from(text, 'base64')));

describe('operations equal PIL to the bit', () => {
  for (const result of expected.results) {
    const { op, image, amount } = result;
    const kind = 'resampling' in result ? ` ${result.resampling}` : '';
    it(`${op} ${amount}${kind}, image ${image}`, () => {
      const given = expected.images[image];
      assert.ok(given);
      const { width, height } = given;
      const dull = 'dull' in result && result.dull;
      const pixels = { width, height, data: unpack(dull ? given.dull : given.pixels) };
      if ('resampling' in result) {
        const { resampling } = result;
        affineOps[result.op](pixels, amount, { resampling, fillColor: expected.fill });
      } else {
        plainOps[result.op](pixels, amount);
      }
      const reference = unpack(result.expected);
      const most = Math.max(
        ...reference.map((value, i) => Math.abs(value - (pixels.data[i] ?? 0))),
      );
      assert.equal(most, 0, `differs by up to ${most}`);
    });
  }
});

describe("RandAugment's arguments", () => {
  for (const { op, magnitude, argument } of expected.levels) {
    it(`equal timm's: ${op} at ${magnitude}`, () => {
      const made = levelArgument(op, magnitude / 10);
      assert.ok(Math.abs(made - argument) < 1e-12, `${made} instead of ${argument}`);
    });
  }

  it("draws from as many operations as timm's, and applies each as often", () => {
    assert.equal(timmOps.length, expected.operations);
    const stacked = augmentations['stacked-rand-augment'].find(({ op }) => op === 'rand-augment');
    assert.ok(stacked && 'chance' in stacked);
    assert.equal(stacked.chance, expected.chance);
    assert.deepEqual(stacked.operations, timmOps);
  });
});
