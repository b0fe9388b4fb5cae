import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from '../at.js';
import { assertClose, fixtureJson, fixtureTensors, need } from '../fixture.test.helper.js';
import {
  AdamW,
  clipGradNorm,
  clone,
  equal,
  Ema,
  emaDecay,
  Generator,
  Linear,
  liveTensors,
  Module,
  noGrad,
  Parameter,
  add_,
  fill_,
  ones,
  select,
  zeros,
  type ParameterGroup,
  type Tensor,
} from '../index.js';

const tensors = fixtureTensors('optim');
const { adamw, clipping } = fixtureJson('optim') as {
  adamw: {
    steps: number;
    groups: { params: string[]; lr: number; weight_decay: number }[];
    betas: [number, number];
    eps: number;
  };
  clipping: Record<string, { maxNorm: number; totalNorm: number }>;
};

function fixtureParameters(): Map<string, Parameter> {
  const names = adamw.groups.flatMap(({ params }) => params);
  return new Map(
    names.map((name) => [name, new Parameter(clone(need(tensors, `initial.${name}`)))]),
  );
}

function groupsOf(parameters: ReadonlyMap<string, Parameter>): ParameterGroup[] {
  return adamw.groups.map(({ params, lr, weight_decay: weightDecay }) => ({
    label: params.join(),
    parameters: new Map([...parameters].filter(([name]) => params.includes(name))),
    weightDecay,
    lrScale: lr,
  }));
}

/** Takes the fixture's steps from … to, with the learning rates of PyTorch's two groups. */
function run(
  optimizer: AdamW,
  parameters: ReadonlyMap<string, Parameter>,
  {
    from = 0,
    to = adamw.steps,
    after,
  }: { from?: number; to?: number; after?: (i: number) => void },
): void {
  for (let step = from; step < to; step++) {
    for (const [name, parameter] of parameters) {
      parameter.grad = select(need(tensors, `grads.${name}`), 0, step);
    }
    optimizer.step({ lr: 1 });
    after?.(step);
  }
}

function newOptimizer(parameters: ReadonlyMap<string, Parameter>): AdamW {
  return new AdamW(groupsOf(parameters), { betas: adamw.betas, eps: adamw.eps });
}

describe('AdamW', () => {
  it("equals PyTorch's over ten steps with two groups", () => {
    const parameters = fixtureParameters();
    const optimizer = newOptimizer(parameters);
    run(optimizer, parameters, {
      after: (step) => {
        for (const [name, parameter] of parameters) {
          const expected = select(need(tensors, `values.${name}`), 0, step);
          assertClose(parameter, expected, { tolerance: 1e-6, what: `${name} at ${step}` });
        }
      },
    });
    const state = optimizer.state();
    for (const name of parameters.keys()) {
      for (const moment of ['exp_avg', 'exp_avg_sq']) {
        const expected = need(tensors, `${moment}.${name}`);
        assertClose(need(state, `${name}.${moment}`), expected, { tolerance: 1e-7 });
      }
      assert.equal(need(state, `${name}.step`).item(), adamw.steps);
    }
  });

  it('continues from its saved state bit for bit', () => {
    const whole = fixtureParameters();
    run(newOptimizer(whole), whole, {});

    const first = fixtureParameters();
    const before = newOptimizer(first);
    run(before, first, { to: 4 });
    const resumed = newOptimizer(first);
    resumed.loadState(before.state());
    before.dispose();
    run(resumed, first, { from: 4 });
    for (const [name, parameter] of first) assert.ok(equal(parameter, need(whole, name)), name);
  });

  it('refuses the state of other parameters', () => {
    const parameters = fixtureParameters();
    const optimizer = newOptimizer(parameters);
    run(optimizer, parameters, { to: 1 });
    const state = optimizer.state();
    const other = new AdamW(new Linear({ inFeatures: 2, outFeatures: 2, generator: null }));
    assert.throws(
      () => {
        other.loadState(state);
      },
      { name: 'TorchError', message: /'matrix\.exp_avg', which is not among/ },
    );
    const [name] = state.keys();
    state.set(name ?? '', zeros([1]));
    assert.throws(
      () => {
        newOptimizer(parameters).loadState(state);
      },
      { name: 'TorchError', message: /no 'matrix\.exp_avg' of shape \[4, 3\]/ },
    );
  });

  it('leaves parameters without a gradient unchanged', () => {
    const layer = new Linear({ inFeatures: 2, outFeatures: 2, generator: new Generator() });
    const optimizer = new AdamW(layer);
    const before = layer.weight.toArray();
    optimizer.step();
    assert.deepEqual(layer.weight.toArray(), before);
    assert.equal(optimizer.state().size, 0);
  });

  it('refuses overlapping groups and an empty optimisation', () => {
    const parameters = fixtureParameters();
    const group = { label: 'all', parameters, lrScale: 1 };
    assert.throws(() => new AdamW([group, group]), { message: /'matrix' is in two groups/ });
    assert.throws(() => new AdamW([]), { message: /every parameter is frozen/ });
  });
});

describe('clipGradNorm', () => {
  for (const [name, { maxNorm, totalNorm }] of Object.entries(clipping)) {
    it(`equals PyTorch's: ${name}`, () => {
      const leaves = [0, 1].map((index) => {
        const gradient = need(tensors, `${name}.before.${index}`);
        const leaf = new Parameter(zeros(gradient.shape));
        leaf.grad = clone(gradient);
        return leaf;
      });
      const live = liveTensors();
      assert.ok(Math.abs(clipGradNorm(leaves, maxNorm) - totalNorm) < 1e-6);
      assert.equal(liveTensors(), live);
      for (const [index, { grad }] of leaves.entries()) {
        assert.ok(grad);
        assertClose(grad, need(tensors, `${name}.after.${index}`), { tolerance: 1e-6 });
      }
    });
  }

  it('gives 0 where there are no gradients, and passes NaN on', () => {
    const leaf = new Parameter(zeros([2]));
    assert.equal(clipGradNorm([leaf], 1), 0);
    leaf.grad = fill_(zeros([2]), NaN);
    assert.ok(Number.isNaN(clipGradNorm([leaf], 1)));
    assert.ok(Number.isNaN(leaf.grad.toArray()[0]));
  });
});

describe('Ema', () => {
  class Pair extends Module {
    weight = new Parameter(zeros([3]));
    other = new Parameter(ones([2]));
  }

  it('follows a ← decay·a + (1 − decay)·θ and restores its state', () => {
    const module = new Pair();
    const ema = new Ema(module);
    let expected = 0;
    for (let step = 1; step <= 5; step++) {
      noGrad(() => add_(module.weight, step));
      ema.update({ decay: 0.9 });
      expected = 0.9 * expected + 0.1 * at(module.weight.toArray(), 0);
      assert.ok(Math.abs(at(need(ema.state(), 'weight').toArray(), 0) - expected) < 1e-6);
    }
    assert.deepEqual(need(ema.state(), 'other').toArray(), [1, 1]);
    const copy = new Ema(new Pair());
    copy.loadState(ema.state());
    assert.ok(equal(need(copy.state(), 'weight'), need(ema.state(), 'weight')));
    new Pair().loadStateDict(ema.state());
    assert.throws(
      () => {
        copy.loadState(new Map<string, Tensor>());
      },
      { name: 'TorchError', message: /no 'weight' of shape \[3\]/ },
    );
  });

  it('starts its decay low', () => {
    assert.equal(emaDecay(0, 0.999), 0.1);
    assert.equal(emaDecay(90, 0.999), 0.91);
    assert.equal(emaDecay(1e6, 0.999), 0.999);
  });
});
