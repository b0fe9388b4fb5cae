import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  describeGroups,
  LayerNorm,
  Mlp,
  Module,
  openClipDecayRules,
  Parameter,
  parameterGroups,
  zeros,
} from '../index.js';

class Tower extends Module {
  positionalEmbedding = new Parameter(zeros([4, 8]));
  logitScale = new Parameter(zeros([]));
  lnPre = new LayerNorm({ width: 8 });
  mlp = new Mlp({ width: 8, hidden: 16, generator: null });
}

const names = (groups: ReturnType<typeof parameterGroups>): string[][] =>
  groups.map(({ parameters }) => [...parameters.keys()]);

describe('parameterGroups', () => {
  it('gives each parameter to the first rule that it meets', () => {
    const groups = parameterGroups(new Tower(), [
      { match: 'mlp.c_fc', lrScale: 0.1 },
      { maxRank: 1, weightDecay: 0 },
      { match: '/embedding$/', weightDecay: 0 },
    ]);
    assert.deepEqual(names(groups), [
      ['mlp.c_fc.weight', 'mlp.c_fc.bias'],
      ['logit_scale', 'ln_pre.weight', 'ln_pre.bias', 'mlp.c_proj.bias'],
      ['positional_embedding'],
      ['mlp.c_proj.weight'],
    ]);
    assert.deepEqual(
      groups.map(({ lrScale, weightDecay }) => [lrScale, weightDecay]),
      [
        [0.1, undefined],
        [1, 0],
        [1, 0],
        [1, undefined],
      ],
    );
    assert.equal(
      describeGroups(groups).split('\n')[1],
      'rank ≤ 1: 4 tensors, 25 weights, weight decay 0, learning rate × 1',
    );
  });

  it('leaves out from decay what OpenCLIP leaves out', () => {
    const groups = parameterGroups(new Tower(), openClipDecayRules);
    assert.deepEqual(names(groups).at(-1), [
      'positional_embedding',
      'mlp.c_fc.weight',
      'mlp.c_proj.weight',
    ]);
    assert.equal(groups.at(-1)?.weightDecay, undefined);
  });

  it('skips what is frozen', () => {
    const tower = new Tower();
    tower.freeze(['mlp', 'ln_*', 'logit_scale']);
    assert.deepEqual(names(parameterGroups(tower, [])), [['positional_embedding']]);
  });

  it('refuses a pattern that matches nothing', () => {
    assert.throws(() => parameterGroups(new Tower(), [{ match: 'visual.*' }]), {
      name: 'TorchError',
      message: /'visual\.\*' matches none of the 8 parameter names/,
    });
  });
});
