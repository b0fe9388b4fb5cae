import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createModel } from '../clip.js';
import { withChanges, type ModelConfigInput } from '../config.js';
import { modelFlops, parameterCount } from './flops.js';
import { modelConfig } from '../presets/presets.js';

const pico = modelConfig('ViT-Pico-8-64');

describe('parameterCount', () => {
  const changes: ModelConfigInput[] = [
    {},
    { quickGelu: true, customText: true },
    { vision: { lsInitValue: 0.1, noLnPre: true, poolType: 'avg' } },
    { vision: { mlpRatio: 2.3 }, text: { lsInitValue: 0.1, mlpRatio: 1 } },
    { embedDim: 64, text: { projBias: true } },
    { text: { projType: 'none' } },
  ];
  for (const change of changes) {
    it(`is that of the module: ${JSON.stringify(change)}`, () => {
      const config = withChanges(pico, change);
      using model = createModel(config, { generator: null });
      const size = (module: typeof model.visual | typeof model.text | typeof model) =>
        module.parameters().reduce((sum, parameter) => sum + parameter.size, 0);
      assert.deepEqual(parameterCount(config), {
        image: size(model.visual),
        text: size(model.text),
        total: size(model),
      });
    });
  }
});

describe('modelFlops', () => {
  it('is near the 4.4 billion multiply-adds that are published for ViT-B/32', () => {
    const { image } = modelFlops(modelConfig('ViT-B-32'));
    assert.ok(Math.abs(image / 2 - 4.4e9) < 0.05e9, `${image / 2}`);
  });

  it('counts products and attention of a small tower by hand', () => {
    const config = withChanges(pico, {
      embedDim: 3,
      vision: { imageSize: 4, patchSize: 2, width: 2, headWidth: 1, layers: 1, mlpRatio: 1 },
      text: { width: 2, heads: 1, layers: 2, mlpRatio: 1 },
    });
    const { image, text } = modelFlops(config, { captionTokens: 3 });
    // 4 patches of 12 numbers; then 5 tokens: q, k, v, out, two of the MLP; scores and mixing; out.
    assert.equal(image / 2, 4 * 12 * 2 + 6 * 5 * 4 + 2 * 5 * 5 * 2 + 2 * 3);
    assert.equal(text / 2, 2 * (6 * 3 * 4 + 2 * 3 * 3 * 2) + 2 * 3);
  });

  it('grows with the caption, unless texts are padded to the context', () => {
    const short = modelFlops(pico, { captionTokens: 8 }).text;
    assert.ok(short < modelFlops(pico).text / 4 + 1e6);
    const last = withChanges(pico, { text: { poolType: 'last' } });
    assert.equal(modelFlops(last, { captionTokens: 8 }).text, modelFlops(last).text);
  });

  it('counts only the kept patches in training', () => {
    const flip = withChanges(pico, { vision: { patchDropout: 0.5 } });
    assert.equal(modelFlops(flip).image, modelFlops(pico).image);
    const ratio = modelFlops(flip, { training: true }).image / modelFlops(pico).image;
    assert.ok(ratio > 0.4 && ratio < 0.55, `${ratio}`);
  });
});
