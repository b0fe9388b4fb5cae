import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  fromTypedArray,
  Generator,
  memoryStats,
  mul,
  noGrad,
  normalize,
  randn,
  scope,
  sum,
  type Tensor,
} from '@bantam/torch';
import { createModel, type Clip } from '../clip.js';
import { parseModelConfig, type ModelConfigInput } from '../config.js';
import { quantizeModel } from './inference.js';

const text = { width: 32, heads: 2, layers: 2, vocabSize: 20, contextLength: 8 };

/** A small tower of each kind that has linear layers in blocks, and how many of them there are. */
const towers: readonly [string, ModelConfigInput['vision'], number][] = [
  ['vit', { imageSize: 32, patchSize: 8, width: 32, headWidth: 16, layers: 2 }, 8],
  [
    'siglip',
    {
      type: 'siglip-vit',
      imageSize: 32,
      patchSize: 8,
      width: 32,
      heads: 2,
      layers: 2,
      proj: 'linear',
    },
    8,
  ],
  [
    'swin',
    {
      type: 'swin',
      ...{ imageSize: 64, width: 16, depths: [1, 1, 1, 1], heads: [1, 1, 2, 2], windowSize: 4 },
    },
    16,
  ],
  ['mixer', { type: 'mixer', imageSize: 32, patchSize: 8, width: 32, layers: 2 }, 8],
  [
    'eva',
    {
      type: 'eva',
      ...{ imageSize: 32, patchSize: 8, width: 32, heads: 2, layers: 2 },
      rotary: { grid: 4, offset: 0, order: 'yx' },
    },
    8,
  ],
  [
    'eva-02',
    {
      type: 'eva',
      ...{ imageSize: 32, patchSize: 8, width: 32, heads: 2, layers: 2, block: 'sub-norm' },
    },
    14,
  ],
  [
    'vitamin',
    {
      type: 'timm-vit',
      ...{ imageSize: 32, width: 32, heads: 2, layers: 2, stem: 'mbconv', mlp: 'geglu' },
      ...{ stemWidth: 8, poolType: 'avg' },
    },
    10,
  ],
  ['convnext', { type: 'convnext', imageSize: 64, width: 16, depths: [1, 1, 1, 1] }, 8],
];

function build(vision: ModelConfigInput['vision']): Clip {
  const config = parseModelConfig({ embedDim: 24, vision, text });
  return createModel(config, { generator: new Generator({ seed: 1 }) }).eval();
}

function features(model: Clip): Tensor[] {
  const { imageSize } = model.config.vision;
  const pixels = randn([4, 3, imageSize, imageSize], new Generator({ seed: 2 }));
  const ids = BigInt64Array.from([18, 3, 4, 19, 18, 7, 19, 0], BigInt);
  return [
    normalize(model.encodeImage(pixels)),
    normalize(model.encodeText(fromTypedArray(ids, { shape: [2, 4] }))),
  ];
}

describe('quantizeModel', () => {
  for (const [name, vision, layers] of towers) {
    it(`keeps the features of a model with a ${name} tower`, () => {
      using model = build(vision);
      noGrad(() => {
        scope(() => {
          const wanted = features(model);
          const names = quantizeModel(model);
          assert.equal(names.filter((layer) => layer.startsWith('visual.')).length, layers);
          assert.equal(names.filter((layer) => layer.startsWith('text.')).length, 8);
          features(model).forEach((rows, tower) => {
            const cosines = sum(mul(rows, wanted[tower] ?? assert.fail()), { dim: 1 }).toArray();
            assert.ok(Math.min(...cosines) > 0.999, `cosines ${cosines.join(', ')}`);
            assert.ok(Math.min(...cosines) < 1 - 1e-9, 'nothing was quantized');
          });
        });
      });
    });
  }

  it('leaves routers of experts, and what is outside of blocks', () => {
    const moe = {
      ...{ experts: 3, topK: 2, every: 2 },
      ...{ capacityFactor: 0, balanceWeight: 0, zLossWeight: 0 },
    };
    using model = build({ imageSize: 32, patchSize: 8, width: 32, headWidth: 16, layers: 2, moe });
    const names = quantizeModel(model);
    assert.ok(names.some((name) => name.includes('experts.2.c_fc')));
    assert.ok(!names.some((name) => /router|proj$(?<!out_proj|c_proj)|ln_/.test(name)));
    noGrad(() => {
      scope(() => features(model));
    });
  });

  it('takes a quarter of the layers’ memory', () => {
    const before = memoryStats().liveBytes;
    using model = build({ imageSize: 32, patchSize: 8, width: 256, headWidth: 64, layers: 2 });
    const whole = memoryStats().liveBytes - before;
    const weights = 2 * 12 * 256 ** 2;
    quantizeModel(model);
    const saved = whole - (memoryStats().liveBytes - before);
    assert.ok(saved > 0.7 * 4 * weights, `${saved} bytes of ${4 * weights}`);
  });

  it('refuses to be trained', () => {
    using model = build({ imageSize: 32, patchSize: 8, width: 32, headWidth: 16, layers: 1 });
    quantizeModel(model);
    assert.throws(() => scope(() => features(model)), /int8 layers have no gradients/);
  });
});
