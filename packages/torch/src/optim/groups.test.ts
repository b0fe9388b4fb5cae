import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  assertGroupsCover,
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
    const tower = new Tower();
    const groups = parameterGroups(tower, [
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
      describeGroups(groups, tower).split('\n')[1],
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
    const groups = parameterGroups(tower, []);
    assert.deepEqual(names(groups), [['positional_embedding']]);
    assert.deepEqual(describeGroups(groups, tower).split('\n'), [
      'the rest: 1 tensors, 32 weights, weight decay default, learning rate × 1',
      'frozen: 7 tensors, 297 weights',
    ]);
  });

  it('refuses a pattern that matches nothing', () => {
    assert.throws(() => parameterGroups(new Tower(), [{ match: 'visual.*' }]), {
      name: 'TorchError',
      message: /'visual\.\*' matches none of the 8 parameter names/,
    });
  });

  it('takes several modules, and each shared parameter once', () => {
    const tower = new Tower();
    const mlp = new Mlp({ width: 8, hidden: 16, generator: null });
    const groups = parameterGroups(
      [
        { module: tower },
        { module: mlp, prefix: 'extra.' },
        { module: tower.lnPre, prefix: 'ln.' },
      ],
      [{ match: 'extra', lrScale: 10 }],
    );
    assert.deepEqual(names(groups), [
      ['extra.c_fc.weight', 'extra.c_fc.bias', 'extra.c_proj.weight', 'extra.c_proj.bias'],
      [...tower.namedParameters().keys()],
    ]);
    assert.throws(() => parameterGroups([{ module: tower }, { module: new Tower() }], []), {
      name: 'TorchError',
      message: /Two parameters are named 'positional_embedding'/,
    });
  });

  it('divides a rule by a factor of the name', () => {
    const groups = parameterGroups(new Tower(), [{ maxRank: 1, lrScale: 0.5 }], {
      lrScale: (name) => (name.startsWith('mlp') ? 0.1 : 1),
    });
    assert.deepEqual(
      groups.map(({ label, lrScale, parameters }) => [label, lrScale, parameters.size]),
      [
        ['rank ≤ 1', 0.5, 3],
        ['rank ≤ 1', 0.05, 2],
        ['the rest', 1, 1],
        ['the rest', 0.1, 2],
      ],
    );
  });
});

describe('assertGroupsCover', () => {
  it('accepts what parameterGroups gives', () => {
    const tower = new Tower();
    tower.freeze(['mlp']);
    assertGroupsCover(parameterGroups(tower, openClipDecayRules), tower);
  });

  it('names what is left out, frozen too late, or in two groups', () => {
    const tower = new Tower();
    const groups = parameterGroups(tower, []);
    assert.throws(
      () => {
        assertGroupsCover([...groups, ...groups], tower);
      },
      { name: 'TorchError', message: /'positional_embedding' is not frozen and is in 2 groups/ },
    );
    tower.freeze(['logit_scale']);
    assert.throws(
      () => {
        assertGroupsCover(groups, tower);
      },
      { message: /'logit_scale' is frozen and is in 1 groups/ },
    );
    const without = parameterGroups(tower, []);
    tower.unfreeze(['logit_scale']);
    assert.throws(
      () => {
        assertGroupsCover(without, tower);
      },
      { message: /'logit_scale' is not frozen and is in 0 groups/ },
    );
  });
});
