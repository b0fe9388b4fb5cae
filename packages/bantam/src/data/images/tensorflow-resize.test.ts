import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { evalTransform } from './eval-transform.js';
import type { Geometry } from './eval-geometry.js';
import { tensorflowResize } from './tensorflow-resize.js';

interface Case {
  readonly height: number;
  readonly width: number;
  readonly pixels: string;
  readonly square: string;
  readonly square875: string;
  readonly aspect75: string;
}

const url = new URL('../../../fixtures/data/big-vision.json', import.meta.url);
const { size, cases } = JSON.parse(readFileSync(url, 'utf8')) as { size: number; cases: Case[] };
const common = { size, interpolation: 'bicubic', antialias: true } as const;

describe("big_vision's preprocessing", () => {
  const transforms = {
    square: { ...common, resizeMode: 'squash', tensorflow: 'bilinear' },
    square875: { ...common, resizeMode: 'squash', tensorflow: 'bilinear', cropFraction: 0.875 },
    aspect75: { ...common, resizeMode: 'shortest', tensorflow: 'area', cropFraction: 0.75 },
  } as const satisfies Record<string, Geometry>;
  for (const name of ['square', 'square875', 'aspect75'] as const) {
    it(`equals TensorFlow's arithmetic in every byte: ${name}`, () => {
      for (const one of cases) {
        const { height, width } = one;
        const data = new Uint8Array(Buffer.from(one.pixels, 'base64'));
        const made = evalTransform({ height, width, data }, transforms[name]);
        assert.deepEqual([made.height, made.width], [size, size]);
        assert.deepEqual(Buffer.from(made.data), Buffer.from(one[name], 'base64'));
      }
    });
  }

  it('makes a window as it would be cut from the whole', () => {
    const [{ height, width, pixels }] = [cases[0] ?? assert.fail()];
    const data = new Uint8Array(Buffer.from(pixels, 'base64'));
    for (const method of ['bilinear', 'area'] as const) {
      const target = { width: 31, height: 20, method };
      const all = { left: 0, top: 0, width: 31, height: 20 };
      const whole = tensorflowResize({ height, width, data }, target, all);
      const window = { left: 7, top: 3, width: 11, height: 9 };
      const part = tensorflowResize({ height, width, data }, target, window);
      for (let y = 0; y < 9; y++) {
        const start = ((y + 3) * 31 + 7) * 3;
        assert.deepEqual(
          part.data.slice(y * 33, (y + 1) * 33),
          whole.data.slice(start, start + 33),
        );
      }
    }
  });
});
