import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  assertClose,
  difference,
  fixtureJson,
  fixtureTensors,
  need,
} from '../fixture.test.helper.js';
import {
  activations,
  add,
  BatchNorm2d,
  clone,
  Conv2d,
  crossEntropy,
  detach,
  Embedding,
  Generator,
  grad,
  isFloating,
  LayerNorm,
  Linear,
  logSoftmax,
  Mlp,
  mlp,
  mul,
  MultiheadAttention,
  normalize,
  randn,
  relu,
  sigmoid,
  softmax,
  tanh,
  type Activation,
  type Module,
  type PerSide,
  type Tensor,
} from '../index.js';

interface Case {
  kind: string;
  args: Record<string, unknown>;
  params: string[];
}

const tensors = fixtureTensors('nn');
const { cases } = fixtureJson('nn') as { cases: Record<string, Case> };
const generator = null;

/** A layer of a case's kind and the function under test. */
function layerOf({ kind, args }: Case): [Module, (x: Tensor) => Tensor] | undefined {
  const number = (key: string): number => args[key] as number;
  switch (kind) {
    case 'Linear': {
      const layer = new Linear({
        inFeatures: number('in'),
        outFeatures: number('out'),
        bias: args.bias as boolean,
        generator,
      });
      return [layer, (x) => layer.forward(x)];
    }
    case 'LayerNorm': {
      const layer = new LayerNorm({ width: number('shape'), eps: number('eps') });
      return [layer, (x) => layer.forward(x)];
    }
    case 'Embedding': {
      const layer = new Embedding({ entries: number('count'), width: number('width'), generator });
      return [layer, (x) => layer.forward(x)];
    }
    case 'MultiheadAttention': {
      const layer = new MultiheadAttention({
        width: number('width'),
        heads: number('heads'),
        generator,
      });
      return [layer, (x) => layer.forward(x, { causal: args.causal as boolean })];
    }
    case 'Mlp': {
      const layer = new Mlp({
        width: number('width'),
        hidden: number('hidden'),
        activation: (args.activation as string).replace('_', '-') as Activation,
        generator,
      });
      return [layer, (x) => layer.forward(x)];
    }
    case 'Conv2d': {
      const layer = new Conv2d({
        inChannels: number('in'),
        outChannels: number('out'),
        kernel: args.kernel as PerSide,
        stride: args.stride as PerSide,
        padding: args.padding as PerSide,
        groups: number('groups'),
        bias: args.bias as boolean,
        generator,
      });
      return [layer, (x) => layer.forward(x)];
    }
    default:
      return undefined;
  }
}

/** The operator under test. */
function operatorOf(name: string, { kind, args }: Case): ((x: Tensor) => Tensor) | undefined {
  const dim = args.dim as number;
  switch (kind) {
    case 'activation':
      return {
        ...activations,
        gelu_tanh: activations['gelu-tanh'],
        quick_gelu: activations['quick-gelu'],
        relu,
        sigmoid,
        tanh,
      }[name];
    case 'softmax':
      return (x) => softmax(x, dim);
    case 'logSoftmax':
      return (x) => logSoftmax(x, dim);
    case 'normalize':
      return (x) => normalize(x, { dim, eps: args.eps as number });
    case 'crossEntropy':
      return (x) =>
        crossEntropy(x, need(tensors, `${name}.target`), {
          labelSmoothing: args.labelSmoothing as number,
          reduction: args.reduction as 'mean' | 'sum' | 'none',
        });
    default:
      return undefined;
  }
}

function parametersOf(name: string, { params }: Case): Map<string, Tensor> {
  return new Map(params.map((param) => [param, need(tensors, `${name}.param.${param}`)]));
}

/** Runs forward and backward and compares with PyTorch's output and input gradient. */
function checkCase(name: string, run: (x: Tensor) => Tensor): void {
  const x = clone(need(tensors, `${name}.input`));
  if (isFloating(x.dtype)) x.requiresGrad = true;
  const y = run(x);
  assertClose(y, need(tensors, `${name}.output`), { what: `${name}: output` });
  y.backward({ grad: need(tensors, `${name}.grad_output`) });
  if (!isFloating(x.dtype)) return;
  assert.ok(x.grad);
  assertClose(x.grad, need(tensors, `${name}.grad.input`), { what: `${name}: input gradient` });
}

function checkGradients(name: string, layer: Module): void {
  for (const [param, { grad }] of layer.namedParameters()) {
    assert.ok(grad, param);
    assertClose(grad, need(tensors, `${name}.grad.${param}`), { what: `${name}: ∂${param}` });
  }
}

describe("layers equal PyTorch's, gradients included", () => {
  for (const [name, example] of Object.entries(cases)) {
    const made = layerOf(example);
    if (made === undefined) continue;
    it(name, () => {
      const [layer, run] = made;
      layer.loadStateDict(parametersOf(name, example));
      checkCase(name, run);
      checkGradients(name, layer);
    });
  }

  it('batch normalisation over two training steps, then evaluation', () => {
    const layer = new BatchNorm2d({ channels: 4 });
    const steps = ['batch_norm_step1', 'batch_norm_step2', 'batch_norm_eval'] as const;
    layer.loadStateDict(parametersOf(steps[0], cases[steps[0]] ?? assert.fail()), {
      strict: false,
    });
    for (const name of steps) {
      layer.train(cases[name]?.args.training === true).zeroGrad();
      checkCase(name, (x) => layer.forward(x));
      checkGradients(name, layer);
      for (const [buffer, value] of layer.namedBuffers()) {
        assertClose(value, need(tensors, `${name}.buffer.${buffer}`), { what: buffer });
      }
    }
  });
});

describe("operators equal PyTorch's, gradients included", () => {
  for (const [name, example] of Object.entries(cases)) {
    const run = operatorOf(name, example);
    if (run !== undefined)
      it(name, () => {
        checkCase(name, run);
      });
  }

  it('every case of the fixtures is tested', () => {
    const covered = Object.entries(cases).filter(
      ([name, example]) =>
        layerOf(example) ?? operatorOf(name, example) ?? example.kind === 'BatchNorm2d',
    );
    assert.equal(covered.length, Object.keys(cases).length);
    assert.ok(covered.length > 30);
  });
});

it('a layer without a generator starts at zero', () => {
  const { weight } = new Linear({ inFeatures: 2, outFeatures: 1, generator });
  assert.deepEqual(detach(weight).toArray(), [0, 0]);
});

it('an MLP with a scale is one whose result is multiplied, gradients included', () => {
  const generator = new Generator({ seed: 5 });
  const layers = [
    new Linear({ inFeatures: 8, outFeatures: 24, generator }),
    new Linear({ inFeatures: 24, outFeatures: 8, generator }),
  ] as const;
  const [x, residual, upstream] = [0, 1, 2].map(() => randn([5, 8], generator)) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const scale = randn([8], generator);
  const leaves = [x, residual, scale];
  for (const leaf of leaves) leaf.requiresGrad = true;
  const inputs = [...leaves, ...layers.flatMap((layer) => [...layer.parameters()])];
  const results = [
    mlp(x, layers, { activation: 'gelu', residual, scale }),
    add(residual, mul(mlp(x, layers, { activation: 'gelu' }), scale)),
  ].map((y) => [y, ...grad([y], inputs, { gradOutputs: [upstream] })]);
  const [actual = [], expected = []] = results;
  assert.equal(actual.length, 8);
  for (const [i, tensor] of actual.entries()) {
    assert.ok(tensor && difference(tensor, expected[i] ?? assert.fail()) < 1e-5, `result ${i}`);
  }
});
