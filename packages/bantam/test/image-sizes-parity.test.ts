import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { autocast, mul, noGrad, scope, sub, sum, to } from '@bantam/torch';
import type { ImageTower } from '../dist/models/index.js';
import {
  assertGradient,
  assertValues,
  find,
  openReference,
  part,
  towerOf,
} from './tower-fixture.js';

const tiny = { patchSize: 8, width: 12, layers: 1, mlpRatio: 2 };
const vit = { ...tiny, type: 'vit', imageSize: 32, headWidth: 6 };
/** Of each tower the configuration, and the prefix of its names in OpenCLIP. */
const towers: Record<string, { vision: object; trunk?: boolean; embedDim?: number }> = {
  vit: { vision: vit },
  'vit-sin-cos': { vision: { ...vit, posEmbedType: 'sin_cos_2d' } },
  'siglip-vit': {
    vision: { ...tiny, type: 'siglip-vit', imageSize: 29, heads: 3 },
    trunk: true,
    embedDim: 12,
  },
  eva: {
    vision: {
      ...{ type: 'eva', imageSize: 32, patchSize: 8, width: 16, layers: 1, heads: 2 },
      ...{ mlpRatio: 8 / 3, block: 'sub-norm', rotary: { grid: 4, offset: 0, order: 'yx' } },
    },
    trunk: true,
  },
  'modified-resnet': {
    vision: {
      type: 'modified-resnet',
      imageSize: 96,
      width: 2,
      depths: [1, 1, 1, 1],
      headWidth: 8,
    },
  },
};

function gradientsOf(tower: ImageTower) {
  return new Map([...tower.namedParameters()].map(([name, { grad }]) => [name, grad]));
}

describe('image towers at other sizes than their own', () => {
  for (const [name, { vision, trunk = false, embedDim = 6 }] of Object.entries(towers)) {
    const reference = openReference(`image-sizes/${name}`);
    const prefix = trunk ? 'trunk.' : '';
    const load = () => {
      const tower = towerOf(vision, embedDim).eval();
      const weights = [...part(reference, 'weight.')].map(
        ([key, value]) => [`${prefix}${key}`, value] as const,
      );
      tower.loadStateDict(new Map(weights));
      return tower;
    };
    const sizes = [...part(reference, 'pixels.').keys()].map(Number);

    for (const imageSize of sizes) {
      const pixels = find(reference, `pixels.${imageSize}`);

      it(`equal the reference, gradients too: ${name}, ${imageSize} px`, () => {
        using tower = load();
        scope(() => {
          const { pooled } = tower.encode(pixels, { imageSize });
          assertValues(pooled, find(reference, `pooled.${imageSize}`), 2e-5, 'pooled');
          sum(mul(pooled, find(reference, 'cotangent'))).backward();
        });
        const gradients = gradientsOf(tower);
        for (const [key, expected] of part(reference, `grad.${imageSize}.`)) {
          assertGradient(gradients.get(`${prefix}${key}`) ?? null, expected, 1, key);
        }
      });

      it(`compute in bfloat16, near to float32: ${name}, ${imageSize} px`, () => {
        using tower = load();
        noGrad(() => {
          scope(() => {
            const encode = () => tower.encode(pixels, { imageSize }).pooled;
            const exact = encode();
            const half = to(autocast('bfloat16', encode), { dtype: 'float32' });
            const error = Math.hypot(...sub(half, exact).toArray());
            assert.ok(error < 0.05 * Math.hypot(...exact.toArray()), `${error}`);
          });
        });
      });
    }
  }
});
