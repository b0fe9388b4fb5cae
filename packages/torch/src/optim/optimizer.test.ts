import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from '../at.js';
import { fixtureJson, fixtureTensors, need } from '../fixture.test.helper.js';
import {
  Adafactor,
  AdamW,
  add,
  clone,
  equal,
  fill_,
  fromTypedArray,
  Linear,
  Lion,
  liveTensors,
  mul,
  ones,
  Parameter,
  scope,
  to,
  zeros,
  type AdafactorOptions,
  type AdamWOptions,
  type LionOptions,
  type Optimizer,
  type ParameterGroup,
  type Tensor,
} from '../index.js';

const tensors = fixtureTensors('optimizers');
const optax = fixtureTensors('adafactor_optax');
const fixture = fixtureJson('optimizers') as {
  steps: number;
  lr: number;
  factors: number[];
  waves: [number, number][];
  groups: { params: string[]; weightDecay: number; lrScale: number }[];
  cases: Record<string, AdamWOptions & LionOptions & AdafactorOptions>;
};
const names = fixture.groups.flatMap(({ params }) => params);

type Precision = 'float32' | 'float64';
type Make = (groups: readonly ParameterGroup[], precision: Precision) => Optimizer;

const lr = fixture.lr;
const makers: Readonly<Record<string, Make>> = {
  adamw: (groups) => new AdamW(groups, { lr, ...fixture.cases.adamw }),
  lion: (groups) => new Lion(groups, { lr, ...fixture.cases.lion }),
  adafactor: (groups, momentumDtype) =>
    new Adafactor(groups, { lr, momentumDtype, ...fixture.cases.adafactor }),
  adafactor_small: (groups, momentumDtype) =>
    new Adafactor(groups, { lr, momentumDtype, ...fixture.cases.adafactor_small }),
};

function newParameters(precision: Precision): Map<string, Parameter> {
  return scope(
    () =>
      new Map(
        names.map((name) => [
          name,
          new Parameter(clone(to(need(tensors, `initial.${name}`), { dtype: precision }))),
        ]),
      ),
  );
}

function groupsOf(parameters: ReadonlyMap<string, Parameter>): ParameterGroup[] {
  return fixture.groups.map(({ params, weightDecay, lrScale }) => ({
    label: params.join(),
    parameters: new Map([...parameters].filter(([name]) => params.includes(name))),
    weightDecay,
    lrScale,
  }));
}

/** Takes the fixture's steps from … to. */
function run(
  optimizer: Optimizer,
  parameters: ReadonlyMap<string, Parameter>,
  {
    precision,
    from = 0,
    to: end = fixture.steps,
  }: { precision: Precision; from?: number; to?: number },
): void {
  for (const [index, [first, second]] of fixture.waves.slice(from, end).entries()) {
    scope(() => {
      for (const [name, parameter] of parameters) {
        if (name === 'idle') continue;
        const [a, b] = ['a', 'b'].map((kind) =>
          to(need(tensors, `${kind}.${name}`), { dtype: precision }),
        ) as [Tensor, Tensor];
        parameter.grad = add(mul(a, first), mul(b, second));
      }
      optimizer.step({ lr: lr * at(fixture.factors, from + index) });
      optimizer.zeroGrad();
    });
  }
}

/** ‖actual − expected‖/‖expected‖ */
function relativeError(actual: Tensor, expected: Tensor): number {
  assert.deepEqual(actual.shape, expected.shape);
  const wanted = expected.toArray();
  const distance = Math.hypot(...actual.toArray().map((value, i) => value - at(wanted, i)));
  return distance / Math.hypot(...wanted);
}

function assertReached(
  parameters: ReadonlyMap<string, Parameter>,
  reference: ReadonlyMap<string, Tensor>,
  { prefix, tolerance }: { prefix: string; tolerance: number },
): void {
  for (const [name, parameter] of parameters) {
    if (name === 'idle') {
      assert.ok(equal(parameter, to(need(tensors, 'initial.idle'), { dtype: parameter.dtype })));
      continue;
    }
    const error = relativeError(parameter, need(reference, `${prefix}.${name}`));
    assert.ok(error <= tolerance, `${prefix}.${name} is off by ${error}`);
  }
}

describe('optimisers over 50 steps', () => {
  for (const [kind, make] of Object.entries(makers)) {
    for (const [precision, tolerance] of [
      ['float32', 1e-6],
      ['float64', 1e-10],
    ] as const) {
      it(`${kind} equals the reference in ${precision}`, () => {
        const parameters = newParameters(precision);
        using optimizer = make(groupsOf(parameters), precision);
        run(optimizer, parameters, { precision });
        assertReached(parameters, tensors, { prefix: `${kind}.${precision}`, tolerance });
      });
    }

    it(`${kind} continues from its saved state bit for bit, and leaves nothing behind`, () => {
      const precision = 'float32';
      const whole = newParameters(precision);
      using uninterrupted = make(groupsOf(whole), precision);
      run(uninterrupted, whole, { precision });

      const live = liveTensors();
      const parameters = newParameters(precision);
      const before = make(groupsOf(parameters), precision);
      run(before, parameters, { precision, to: 20 });
      const resumed = make(groupsOf(parameters), precision);
      resumed.loadState(before.state());
      before[Symbol.dispose]();
      run(resumed, parameters, { precision, from: 20 });
      for (const [name, parameter] of parameters) {
        assert.ok(equal(parameter, need(whole, name)), name);
      }
      assert.ok(![...resumed.state().keys()].some((key) => key.startsWith('idle')));
      resumed[Symbol.dispose]();
      for (const parameter of parameters.values()) parameter.dispose();
      assert.equal(liveTensors(), live);
    });
  }

  // Float32's last bits decide now and then how a momentum is rounded to bfloat16: by 2⁻⁸ of it.
  for (const [momentumDtype, tolerance] of [
    ['float32', 1e-6],
    ['bfloat16', 1e-5],
  ] as const) {
    it(`Adafactor equals optax as big_vision chains it, momentum in ${momentumDtype}`, () => {
      const parameters = newParameters('float32');
      using optimizer = new Adafactor(groupsOf(parameters), { lr, momentumDtype });
      run(optimizer, parameters, { precision: 'float32' });
      assertReached(parameters, optax, { prefix: momentumDtype, tolerance });
    });
  }
});

describe('a gradient that is not finite', () => {
  for (const [kind, make] of Object.entries(makers)) {
    for (const bad of [NaN, Infinity]) {
      it(`reaches the weights under ${kind}: ${bad}`, () => {
        const parameter = new Parameter(ones([6, 40]));
        using optimizer = make(
          [{ label: 'w', parameters: new Map([['w', parameter]]), lrScale: 1 }],
          'float32',
        );
        const values = new Float32Array(240).fill(0.5);
        values[77] = bad;
        parameter.grad = fromTypedArray(values, { shape: [6, 40] });
        optimizer.step();
        assert.ok(!Number.isFinite(parameter.toArray()[77]));
      });
    }
  }
});

describe('Adafactor', () => {
  it('keeps means over the longest two dimensions, and the momentum in bfloat16', () => {
    const layer = new Linear({ inFeatures: 40, outFeatures: 32, generator: null });
    for (const parameter of layer.parameters()) parameter.grad = fill_(zeros(parameter.shape), 1);
    using optimizer = new Adafactor(layer);
    optimizer.step();
    const kept = [...optimizer.state()].map(([name, { shape, dtype }]) => [name, shape, dtype]);
    assert.deepEqual(kept, [
      ['weight.exp_avg', [32, 40], 'bfloat16'],
      ['weight.exp_avg_sq_row', [32, 1], 'float32'],
      ['weight.exp_avg_sq_col', [1, 40], 'float32'],
      ['weight.step', [], 'float32'],
      ['bias.exp_avg', [32], 'bfloat16'],
      ['bias.exp_avg_sq', [32], 'float32'],
      ['bias.step', [], 'float32'],
    ]);
  });

  for (const [decayBy, expected] of [
    // The rate is half of lr₀, the factor of the group 0.1.
    ['schedule', 1 - 0.3 * 0.5],
    ['lr', 1 - 0.3 * 0.05 * 0.1],
  ] as const) {
    it(`decays by ${decayBy}`, () => {
      const weight = new Parameter(fill_(zeros([1]), 1));
      weight.grad = zeros([1]);
      const parameters = new Map([['weight', weight]]);
      const group = { label: 'all', parameters, lrScale: 0.1, weightDecay: 0.3 };
      using optimizer = new Adafactor([group], { lr: 0.1, decayBy });
      optimizer.step({ lr: 0.05 });
      assert.ok(Math.abs(weight.item() - expected) < 1e-6);
    });
  }
});

describe('the state of an optimiser', () => {
  it('is refused by an optimiser of another kind', () => {
    const parameters = newParameters('float32');
    const groups = groupsOf(parameters);
    using adamw = new AdamW(groups);
    run(adamw, parameters, { precision: 'float32', to: 1 });
    using adafactor = new Adafactor(groups);
    assert.throws(
      () => {
        adafactor.loadState(adamw.state());
      },
      { name: 'TorchError', message: /no 'wide\.exp_avg_sq_row' of shape \[1, 32\]/ },
    );
    using lion = new Lion(groups);
    assert.throws(
      () => {
        lion.loadState(adamw.state());
      },
      { name: 'TorchError', message: /'matrix\.exp_avg_sq', which is not among/ },
    );
  });
});
