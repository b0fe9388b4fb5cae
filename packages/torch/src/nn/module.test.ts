import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  BatchNorm2d,
  Conv2d,
  Generator,
  LayerNorm,
  Linear,
  liveTensors,
  max,
  mean,
  min,
  Module,
  normalInit,
  ones,
  Parameter,
  scope,
  TensorBuffer,
  truncatedNormalInit,
  variance,
  xavierUniformInit,
  zeros,
  type Tensor,
} from '../index.js';

class Block extends Module {
  ln_1 = new LayerNorm({ width: 2 });
  cFc = new Linear({ inFeatures: 2, outFeatures: 3, bias: false, generator: null });
}

class Tower extends Module {
  inProjWeight = new Parameter(zeros([2]));
  resblocks = [new Block(), new Block()];
  attnMask = new TensorBuffer(zeros([2, 2]), { persistent: false });
}

class Pair extends Module {
  text = new Tower();
  visual = new Block();
  bn1 = new BatchNorm2d({ channels: 2 });
  logitScale = new Parameter(ones([]));
  note = 'not a parameter';

  protected override get hoisted(): readonly string[] {
    return ['text'];
  }
}

const towerNames = [
  'in_proj_weight',
  'resblocks.0.ln_1.weight',
  'resblocks.0.ln_1.bias',
  'resblocks.0.c_fc.weight',
  'resblocks.1.ln_1.weight',
  'resblocks.1.ln_1.bias',
  'resblocks.1.c_fc.weight',
];

describe('Module', () => {
  it('names parameters and buffers by its fields', () => {
    assert.deepEqual(
      [...new Pair().stateDict().keys()],
      [
        ...towerNames,
        'visual.ln_1.weight',
        'visual.ln_1.bias',
        'visual.c_fc.weight',
        'bn1.weight',
        'bn1.bias',
        'bn1.running_mean',
        'bn1.running_var',
        'bn1.num_batches_tracked',
        'logit_scale',
      ],
    );
    assert.deepEqual([...new Pair().namedParameters().keys()].slice(0, 7), towerNames);
    assert.equal(new Pair().namedBuffers().size, 4);
    assert.deepEqual([...new Pair().namedModules().keys()].slice(0, 4), [
      '',
      'text',
      'text.resblocks.0',
      'text.resblocks.0.ln_1',
    ]);
  });

  it('lists a shared parameter once, but keeps both names in the state dict', () => {
    class Tied extends Module {
      first = new Linear({ inFeatures: 2, outFeatures: 2, bias: false, generator: null });
      second = this.first;
    }
    assert.deepEqual([...new Tied().namedParameters().keys()], ['first.weight']);
    assert.deepEqual([...new Tied().stateDict().keys()], ['first.weight', 'second.weight']);
  });

  it('refuses two tensors of one name', () => {
    class Clash extends Pair {
      inProjWeight = new Parameter(zeros([1]));
    }
    assert.throws(() => new Clash().stateDict(), { message: /named 'in_proj_weight'/ });
  });

  it('loads in place, with the types converted', () => {
    const block = new Block();
    const { weight } = block.ln_1;
    const source = new Block().to('float64');
    source.ln_1.weight = new Parameter(zeros([2], { dtype: 'float64' }));
    block.loadStateDict(source.stateDict());
    assert.equal(block.ln_1.weight, weight);
    assert.equal(weight.dtype, 'float32');
    assert.deepEqual(weight.toArray(), [0, 0]);
    assert.ok(weight.requiresGrad);
  });

  it('lists what is missing, left over and misshapen, and then changes nothing', () => {
    const block = new Block();
    const wrong = new Map<string, Tensor>([
      ['ln_1.weight', zeros([2])],
      ['c_fc.weight', zeros([2, 3])],
      ...Array.from({ length: 6 }, (_, i): [string, Tensor] => [`extra.${i}`, zeros([])]),
    ]);
    assert.throws(() => block.loadStateDict(wrong), {
      name: 'TorchError',
      message:
        'The weights do not fit Block: 1 missing (ln_1.bias); 6 unexpected (extra.0, extra.1, extra.2, extra.3, …); 1 of another shape (c_fc.weight: [2, 3] given, [3, 2] needed); give the weights of this architecture.',
    });
    assert.deepEqual(block.ln_1.weight.toArray(), [1, 1]);
    assert.throws(() => block.loadStateDict(wrong, { strict: false }), {
      message: /another shape/,
    });
    wrong.delete('c_fc.weight');
    const { missing, unexpected } = block.loadStateDict(wrong, { strict: false });
    assert.deepEqual(missing, ['ln_1.bias', 'c_fc.weight']);
    assert.equal(unexpected.length, 6);
    assert.deepEqual(block.ln_1.weight.toArray(), [0, 0]);
  });

  it('freezes by glob, module and regular expression', () => {
    const pair = new Pair();
    const frozen = (): string[] =>
      [...pair.namedParameters()].filter(([, p]) => !p.requiresGrad).map(([name]) => name);
    assert.deepEqual(pair.freeze(['visual']), [
      'visual.ln_1.weight',
      'visual.ln_1.bias',
      'visual.c_fc.weight',
    ]);
    pair.unfreeze(['visual.ln_1.*']);
    assert.deepEqual(frozen(), ['visual.c_fc.weight']);
    pair.freeze(['/ln_\\d\\.bias/', 'resblocks.{0,1}.c_fc', /^logit/]);
    assert.deepEqual(frozen(), [
      'resblocks.0.ln_1.bias',
      'resblocks.0.c_fc.weight',
      'resblocks.1.ln_1.bias',
      'resblocks.1.c_fc.weight',
      'visual.ln_1.bias',
      'visual.c_fc.weight',
      'logit_scale',
    ]);
    assert.throws(() => pair.freeze(['visua']), {
      name: 'TorchError',
      message: /matches none of the \d+ parameter names \(did you mean 'visual'\?\)/,
    });
    assert.throws(() => pair.freeze(['/(/']), { name: 'TorchError', message: /cannot be read/ });
  });

  it('sets training everywhere below', () => {
    const pair = new Pair();
    assert.equal(pair.eval(), pair);
    assert.ok([...pair.namedModules().values()].every(({ training }) => !training));
    assert.ok([...pair.train().namedModules().values()].every(({ training }) => training));
  });

  it('keeps what is frozen as a whole in evaluation mode', () => {
    const pair = new Pair();
    pair.freeze(['visual', 'bn1', 'resblocks.0', 'in_proj_weight']);
    const inTraining = (): string[] =>
      [...pair.namedModules()].filter(([, { training }]) => training).map(([name]) => name);
    const learning = [
      '',
      'text',
      'text.resblocks.1',
      'text.resblocks.1.ln_1',
      'text.resblocks.1.c_fc',
    ];
    assert.deepEqual(inTraining(), learning);
    pair.eval().train();
    assert.deepEqual(inTraining(), learning);

    const before = pair.bn1.runningMean.toArray();
    pair.bn1.forward(ones([4, 2, 3, 3]));
    assert.deepEqual(pair.bn1.runningMean.toArray(), before);
    pair.unfreeze(['bn1']);
    pair.train();
    pair.bn1.forward(ones([4, 2, 3, 3]));
    assert.notDeepEqual(pair.bn1.runningMean.toArray(), before);
  });

  it('converts floating-point members only, and keeps what is frozen', () => {
    const pair = new Pair();
    pair.freeze(['logit_scale']);
    pair.to('float64');
    const types = [...pair.stateDict()].map(([name, { dtype }]) => [name, dtype]);
    assert.deepEqual(
      types.filter(([, dtype]) => dtype !== 'float64'),
      [['bn1.num_batches_tracked', 'int64']],
    );
    assert.equal(pair.logitScale.requiresGrad, false);
    assert.equal(pair.text.attnMask.persistent, false);
  });

  it('outlives the scope that it was made in, until it is disposed', () => {
    const before = liveTensors();
    const pair = scope(() => new Pair());
    assert.equal(liveTensors() - before, pair.stateDict().size + 1);
    assert.deepEqual(pair.logitScale.toArray(), [1]);
    pair.dispose();
    assert.equal(liveTensors(), before);
  });
});

describe('Parameter', () => {
  it('takes its tensor over', () => {
    const source = ones([2]);
    const parameter = new Parameter(source);
    assert.ok(source.isDisposed);
    assert.ok(parameter.requiresGrad && parameter.isLeaf);
    assert.deepEqual(parameter.toArray(), [1, 1]);
  });
});

describe('initial values', () => {
  const generator = new Generator({ seed: 11 });
  const n = 40_000;

  function assertMoments(x: Tensor, expected: { mean: number; std: number }): void {
    const std = Math.sqrt(variance(x).item());
    assert.ok(Math.abs(std / expected.std - 1) < 0.02, `deviation ${std}`);
    assert.ok(Math.abs(mean(x).item() - expected.mean) < 0.02 * expected.std + 1e-9);
  }

  it('linear and convolution layers are uniform within 1/√fanIn', () => {
    const linear = new Linear({ inFeatures: 200, outFeatures: 200, generator });
    const bound = 1 / Math.sqrt(200);
    assertMoments(linear.weight, { mean: 0, std: bound / Math.sqrt(3) });
    assert.ok(max(linear.weight).item() <= bound && min(linear.weight).item() >= -bound);
    assert.ok(linear.bias !== null && max(linear.bias).item() > 0.9 * bound);

    const conv = new Conv2d({ inChannels: 20, outChannels: 100, kernel: [4, 5], generator });
    assertMoments(conv.weight, { mean: 0, std: 1 / Math.sqrt(3 * 400) });
  });

  it('Xavier-uniform spreads over √(6/(fanIn + fanOut))', () => {
    const weight = xavierUniformInit(zeros([300, 100]), generator);
    assertMoments(weight, { mean: 0, std: Math.sqrt(2 / 400) });
  });

  it('normal, and normal cut off', () => {
    assertMoments(normalInit(zeros([n]), generator, { mean: 3, std: 0.5 }), { mean: 3, std: 0.5 });
    // A standard normal cut to ±2 has variance 1 − 4φ(2)/(2Φ(2) − 1).
    const density = Math.exp(-2) / Math.sqrt(2 * Math.PI);
    const std = Math.sqrt(1 - (4 * density) / 0.9544997361);
    const cut = truncatedNormalInit(zeros([n]), generator, { std: 0.1, low: -0.2, high: 0.2 });
    assertMoments(cut, { mean: 0, std: 0.1 * std });
    assert.ok(max(cut).item() <= 0.2 && max(cut).item() > 0.199);
  });

  it('is a function of the seed alone', () => {
    const draw = (seed: number): number[] =>
      new Linear({
        inFeatures: 3,
        outFeatures: 2,
        generator: new Generator({ seed }),
      }).weight.toArray();
    assert.deepEqual(draw(1), draw(1));
    assert.notDeepEqual(draw(1), draw(2));
  });
});
