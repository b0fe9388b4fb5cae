import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  abs,
  add,
  autocast,
  copy_,
  fromTypedArray,
  Generator,
  max,
  mul,
  noGrad,
  normalize,
  rand,
  randn,
  scope,
  sub,
  to,
  type Tensor,
} from '@bantam/torch';
import { createModel, type Clip } from '../clip.js';
import { modelConfig } from '../presets/presets.js';
import { narrowModel, prepackModel, quantizeModel } from './inference.js';

const towers = [
  ...['ModifiedResNet', 'ResNet', 'ConvNeXt', 'Mixer', 'Swin', 'SigLIP', 'EVA', 'ViTamin'].map(
    (tower) => `${tower}-Nano-64`,
  ),
  'ViT-Nano-16-64',
];

/** A model whose branches count: fresh ones end with factors of nearly nothing. */
function build(name: string): Clip {
  const model = createModel(modelConfig(name), { generator: new Generator({ seed: 1 }) }).eval();
  const generator = new Generator({ seed: 2 });
  noGrad(() => {
    scope(() => {
      for (const [key, tensor] of model.visual.stateDict()) {
        const draw = add(mul(rand(tensor.shape, generator), 0.5), 0.3);
        if (/gamma$|bn\d\.weight$|downsample\.1\.weight$|running_var$/.test(key)) {
          copy_(tensor, draw);
        } else if (/running_mean$|(?:bn\d|downsample\.1)\.bias$/.test(key)) {
          copy_(tensor, mul(randn(tensor.shape, generator), 0.1));
        }
      }
    });
  });
  return model;
}

/** Rows of length 1 in float32. */
function features(model: Clip, dtype: 'float32' | 'bfloat16', batch = 3): Tensor {
  const { imageSize } = model.config.vision;
  const pixels = randn([batch, 3, imageSize, imageSize], new Generator({ seed: 3 }));
  return normalize(
    to(
      autocast(dtype, () => model.encodeImage(pixels)),
      { dtype: 'float32' },
    ),
  );
}

function difference(a: Tensor, b: Tensor): number {
  return max(abs(sub(a, b))).item();
}

function inScope(body: () => void): void {
  noGrad(() => {
    scope(body);
  });
}

describe('prepackModel', () => {
  for (const name of towers) {
    it(`keeps the features of ${name} in float32`, () => {
      using model = build(name);
      inScope(() => {
        const expected = features(model, 'float32');
        prepackModel(model, 'float32');
        assert.ok(difference(features(model, 'float32'), expected) < 1e-5);
        assert.equal(features(model, 'float32', 1).dim(0), 1);
      });
    });

    it(`is as near to float32 in bfloat16 as ${name} is without it`, () => {
      using model = build(name);
      inScope(() => {
        const exact = features(model, 'float32');
        const before = difference(features(model, 'bfloat16'), exact);
        prepackModel(model, 'bfloat16');
        narrowModel(model, 'bfloat16');
        const after = difference(features(model, 'bfloat16'), exact);
        assert.ok(after < Math.max(2 * before, 0.004), `${after} after ${before}`);
      });
    });
  }

  for (const name of ['ViT', 'MoE-ViT', 'SAS-P-ViT', 'coca_ViT']) {
    it(`keeps the features of ${name}'s towers of blocks`, () => {
      using model = build(`${name}-Nano-16-64`);
      inScope(() => {
        // Texts of 9, 4 and 12 tokens, whose end has the highest id.
        const ids = fromTypedArray(
          BigInt64Array.from({ length: 36 }, (_, i) => {
            const last = [8, 3, 11][Math.floor(i / 12)] ?? 0;
            return BigInt(i % 12 < last ? 5 + (i % 7) : i % 12 === last ? 99 : 0);
          }),
          { shape: [3, 12] },
        );
        const both = () => [features(model, 'float32'), normalize(model.encodeText(ids))] as const;
        const expected = both();
        prepackModel(model, 'float32');
        both().forEach((actual, i) => {
          assert.ok(difference(actual, expected[i] ?? assert.fail()) < 1e-5);
        });
      });
    });
  }

  it('leaves int8 layers unchanged', () => {
    using model = build('ConvNeXt-Nano-64');
    inScope(() => {
      quantizeModel(model);
      const expected = features(model, 'float32');
      prepackModel(model, 'float32');
      // The convolutions round in another way, which may move an activation by one step of int8.
      const apart = difference(features(model, 'float32'), expected);
      assert.ok(apart < 1e-3, String(apart));
    });
  });

  it('makes a model that is not saved', () => {
    using model = build('ResNet-Nano-64');
    prepackModel(model, 'float32');
    assert.throws(() => model.stateDict(), /packed.*load the model once more/);
  });
});
