import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withoutPrefix } from './prefixes.js';

const strip = (...names: string[]) =>
  [...withoutPrefix(new Map(names.map((name) => [name, name])), 'x.pt').keys()].sort();

describe('withoutPrefix', () => {
  for (const prefix of [
    'module.',
    'model.',
    'clip.',
    '_orig_mod.',
    'module._orig_mod.model.',
    'net.',
  ]) {
    it(`removes "${prefix}" in every layout`, () => {
      const own = ['visual.conv1.weight', 'transformer.resblocks.0.ln_1.weight', 'logit_scale'];
      assert.deepEqual(strip(...own.map((name) => prefix + name)), [...own].sort());
      const hub = ['vision_model.embeddings.class_embedding', 'text_model.final_layer_norm.bias'];
      assert.deepEqual(strip(...hub.map((name) => prefix + name)), [...hub].sort());
      const apple = ['image_encoder.model.head.proj', 'text_encoder.projection_layer'];
      assert.deepEqual(strip(...apple.map((name) => prefix + name)), [...apple].sort());
    });
  }

  it('leaves weights without a prefix, and names that only look like one', () => {
    assert.deepEqual(strip('visual.proj', 'transformer.x', 'model.y'), [
      'model.y',
      'transformer.x',
      'visual.proj',
    ]);
    assert.deepEqual(strip('encoder.weight'), ['encoder.weight']);
  });

  it("leaves out what is beside the wrapped model, and takes a model's moving average", () => {
    assert.deepEqual(strip('model.visual.proj', 'loss.bias', 'n_averaged'), ['visual.proj']);
    const both = [
      'model.visual.proj',
      'model_ema.module.visual.proj',
      'model_ema.module.logit_scale',
    ];
    assert.deepEqual(strip(...both), ['logit_scale', 'visual.proj']);
  });

  it('refuses several models, by their prefixes', () => {
    assert.throws(() => strip('model.visual.proj', 'clip.visual.proj'), {
      name: 'BantamError',
      message: /^x\.pt holds several models, under "model\." and "clip\."/,
    });
  });
});
