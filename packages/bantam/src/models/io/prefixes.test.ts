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

  it('removes a prefix of any name if a scale and an image tower are under it', () => {
    const own = ['logit_scale', 'visual.conv1.weight', 'positional_embedding'];
    for (const prefix of ['network.', 'base_model.model.', 'a.b_c.']) {
      const names = [...own.map((name) => `${prefix}${name}`), 'head.weight'];
      const found = withoutPrefix(new Map(names.map((name) => [name, 0])), 'a.pt');
      assert.deepEqual([...found.keys()], own);
    }
    const pair = ['student.', 'teacher.'].flatMap((prefix) => own.map((name) => prefix + name));
    assert.throws(
      () => withoutPrefix(new Map(pair.map((name) => [name, 0])), 'a.pt'),
      /a\.pt holds several models, under "student\." and "teacher\."/,
    );
    const towers = new Map([['network.visual.conv1.weight', 0]]);
    assert.deepEqual(withoutPrefix(towers, 'a.pt'), towers);
  });
});
