import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  autocast,
  equal,
  fromTypedArray,
  Generator,
  memoryStats,
  noGrad,
  randn,
  scope,
  type Tensor,
} from '@bantam/torch';
import { createModel, type Clip } from '../clip.js';
import { modelConfig, presets } from '../presets/presets.js';
import { narrowModel } from './inference.js';

const small = [...presets.keys()].filter((name) => /-(Pico|Nano|Micro)-/.test(name));

function build(name: string): Clip {
  return createModel(modelConfig(name), { generator: new Generator({ seed: 1 }) }).eval();
}

function features(model: Clip): Tensor[] {
  const { imageSize } = model.config.vision;
  const pixels = randn([2, 3, imageSize, imageSize], new Generator({ seed: 2 }));
  const ids = BigInt64Array.from([1, 3, 4, 2, 1, 7, 2, 0], BigInt);
  return autocast('bfloat16', () => [
    model.encodeImage(pixels),
    model.encodeText(fromTypedArray(ids, { shape: [2, 4] })),
  ]);
}

describe('narrowModel', () => {
  for (const name of small) {
    it(`keeps the features of ${name} bit for bit`, () => {
      using model = build(name);
      noGrad(() => {
        scope(() => {
          const [image, text] = features(model);
          narrowModel(model, 'bfloat16');
          const [narrowImage, narrowText] = features(model);
          assert.ok(equal(narrowImage ?? assert.fail(), image ?? assert.fail()));
          assert.ok(equal(narrowText ?? assert.fail(), text ?? assert.fail()));
        });
      });
    });
  }

  it('takes half of the memory of the weights of products', () => {
    const before = memoryStats().liveBytes;
    using model = build('ViT-Nano-16-64');
    const whole = memoryStats().liveBytes - before;
    const { layers, width } = modelConfig('ViT-Nano-16-64').vision as {
      layers: number;
      width: number;
    };
    narrowModel(model, 'bfloat16');
    const saved = whole - (memoryStats().liveBytes - before);
    assert.ok(saved >= 2 * layers * 12 * width ** 2, `${saved} bytes`);
  });
});
