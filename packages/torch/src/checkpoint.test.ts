import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  autocast,
  BatchNorm2d,
  bernoulli,
  channelsLast,
  checkpoint,
  countFlops,
  gelu,
  Generator,
  grad,
  isRerunning,
  LayerNorm,
  Linear,
  memoryStats,
  Mlp,
  Module,
  mul,
  MultiheadAttention,
  noGrad,
  pow,
  randn,
  scope,
  sigmoid,
  sum,
  tanh,
  to,
  type FloatDType,
  type Tensor,
} from './index.js';

class Block extends Module {
  ln_1: LayerNorm;
  attn: MultiheadAttention;
  ln_2: LayerNorm;
  mlp: Mlp;
  calls = 0;

  constructor(generator: Generator) {
    super();
    const width = 64;
    this.ln_1 = new LayerNorm({ width });
    this.attn = new MultiheadAttention({ width, heads: 2, generator });
    this.ln_2 = new LayerNorm({ width });
    this.mlp = new Mlp({ width, hidden: 4 * width, activation: 'gelu', generator });
  }

  forward(x: Tensor): Tensor {
    this.calls++;
    const { normed, residual } = this.ln_1.branch(x);
    const y = this.attn.forward(normed, { causal: true, residual });
    const inner = this.ln_2.branch(y);
    return this.mlp.forward(inner.normed, { residual: inner.residual });
  }
}

type Run = (fn: (x: Tensor) => Tensor, x: Tensor) => Tensor;
const plainly: Run = (fn, x) => scope(() => fn(x));
const checkpointed: Run = (fn, x) => scope(() => checkpoint(fn, [x]));

function leaf(shape: number[], seed = 7): Tensor {
  const x = randn(shape, new Generator({ seed }));
  x.requiresGrad = true;
  return x;
}

function bits(of: Tensor | null): number[] {
  return Array.from((of ?? assert.fail('There is no gradient.')).toTypedArray(), Number);
}

/** Every gradient of a stack whose second block is used twice, on top of gradients that are there. */
function stackGradients(run: Run, dtype: FloatDType): number[][] {
  const generator = new Generator({ seed: 1 });
  const [first, second] = [new Block(generator), new Block(generator)] as const;
  const x = leaf([3, 5, 64]);
  for (let pass = 0; pass < 2; pass++) {
    scope(() => {
      const y = autocast(dtype, () =>
        [first, second, second].reduce((y, block) => run((x) => block.forward(x), y), x),
      );
      sum(pow(to(y, { dtype: 'float32' }), 2)).backward();
    });
  }
  return [x, ...first.parameters(), ...second.parameters()].map(({ grad }) => bits(grad));
}

describe('checkpoint', () => {
  for (const dtype of ['float32', 'bfloat16'] as const) {
    it(`changes no bit of a gradient: ${dtype}`, () => {
      assert.deepEqual(stackGradients(checkpointed, dtype), stackGradients(plainly, dtype));
    });
  }

  it('keeps its inputs alone until the backward pass, and nothing behind it', () => {
    const blocks = Array.from({ length: 6 }, (_, seed) => new Block(new Generator({ seed })));
    const x = leaf([8, 16, 64]);
    const kept = (run: Run, backward: boolean): number =>
      scope(() => {
        const before = memoryStats().liveBytes;
        const loss = scope(() =>
          sum(blocks.reduce((y, block) => run((x) => block.forward(x), y), x)),
        );
        const bytes = memoryStats().liveBytes - before;
        if (backward) loss.backward();
        return bytes;
      });
    kept(plainly, true);
    const { liveBytes, liveTensors } = memoryStats();
    const plain = kept(plainly, true);
    const frugal = kept(checkpointed, true);
    // Of each block its input [8, 16, 64].
    const inputs = 6 * 4 * 8 * 16 * 64;
    assert.ok(frugal < 1.05 * inputs, `${frugal} bytes for inputs of ${inputs}`);
    assert.ok(plain > 8 * frugal, `${plain} and ${frugal} bytes`);
    kept(checkpointed, false);
    assert.equal(memoryStats().liveBytes, liveBytes);
    assert.equal(memoryStats().liveTensors, liveTensors);
  });

  it('runs the function again where something has a gradient, and only there', () => {
    const block = new Block(new Generator({ seed: 1 }));
    const seen: boolean[] = [];
    const run = (x: Tensor): Tensor =>
      checkpoint(
        (x) => {
          seen.push(isRerunning());
          return block.forward(x);
        },
        [x],
      );
    noGrad(() => run(leaf([1, 2, 64])));
    sum(run(leaf([1, 2, 64]))).backward();
    assert.deepEqual(seen, [false, false, true]);
    block.freeze(['*']);
    const x = randn([1, 2, 64], new Generator({ seed: 2 }));
    const w = leaf([64]);
    sum(mul(run(x), w)).backward();
    assert.deepEqual(seen, [false, false, true, false]);
    assert.equal(isRerunning(), false);
  });

  it('draws the same again, and leaves the stream where it should be', () => {
    const outcome = (run: Run): unknown => {
      const generator = new Generator({ seed: 3 });
      const x = leaf([4, 8]);
      const drop = (x: Tensor): Tensor =>
        mul(sigmoid(x), bernoulli(tanh(pow(x, 2)), 0.5, generator));
      const y = run(drop, run(drop, x));
      bernoulli(y, 0.5, generator);
      sum(y).backward();
      return [bits(x.grad), [...generator.state()]];
    };
    assert.deepEqual(outcome(checkpointed), outcome(plainly));
  });

  for (const last of [true, false]) {
    it(`counts a batch once in running statistics, channels ${last ? 'last' : 'first'}`, () => {
      const outcome = (run: Run): unknown => {
        const norm = new BatchNorm2d({ channels: 3 });
        const x = leaf([4, 3, 2, 2]);
        sum(
          pow(
            run((x) => norm.forward(last ? channelsLast(x) : x), x),
            3,
          ),
        ).backward();
        const { runningMean, runningVar, numBatchesTracked } = norm;
        return [x.grad, norm.weight.grad, runningMean, runningVar, numBatchesTracked].map(bits);
      };
      assert.deepEqual(outcome(checkpointed), outcome(plainly));
    });
  }

  it('serves several backward passes and second derivatives', () => {
    const outcome = (run: Run): unknown => {
      const x = leaf([5]);
      const y = sum(run((x) => mul(sigmoid(x), pow(x, 3)), x));
      const [first] = grad([y], [x], { createGraph: true });
      const [second] = grad([sum(first ?? assert.fail())], [x], { retainGraph: true });
      y.backward({ retainGraph: true });
      y.backward();
      return [first ?? null, second ?? null, x.grad].map((one) => bits(one));
    };
    assert.deepEqual(outcome(checkpointed), outcome(plainly));
  });

  it('may be nested, and take several inputs and give several results', () => {
    const outcome = (nested: boolean): unknown => {
      const [x, y] = [leaf([4], 1), leaf([4], 2)] as const;
      const inner = (x: Tensor, y: Tensor): Tensor => mul(sigmoid(x), tanh(y));
      const outer = (x: Tensor, y: Tensor): Tensor[] => {
        const z = mul(nested ? checkpoint(inner, [x, y]) : inner(x, y), x);
        return [sigmoid(z), pow(z, 2)];
      };
      const [a, b] = (nested ? checkpoint(outer, [x, y]) : outer(x, y)) as [Tensor, Tensor];
      sum(mul(a, b)).backward();
      return [bits(x.grad), bits(y.grad)];
    };
    assert.deepEqual(outcome(true), outcome(false));
  });

  it('passes on what the function throws, and works again afterwards', () => {
    const x = leaf([3]);
    const failure = new TypeError('not today');
    let fails = false;
    const run = (): Tensor =>
      checkpoint(
        (x) => {
          if (fails) throw failure;
          return sigmoid(sigmoid(x));
        },
        [x],
      );
    const before = memoryStats();
    scope(() => {
      const y = sum(run());
      fails = true;
      assert.throws(() => {
        y.backward();
      }, failure);
      assert.throws(run, failure);
    });
    assert.equal(memoryStats().liveBytes, before.liveBytes);
    fails = false;
    sum(run()).backward();
    assert.ok(x.grad);
  });

  it('says what is wrong where the second run differs, or misses a tensor', () => {
    const message = (fn: (x: Tensor, run: number) => Tensor): string => {
      let runs = 0;
      const y = sum(checkpoint((x) => fn(x, runs++), [leaf([2, 3])]));
      try {
        y.backward();
      } catch (error) {
        return String(error);
      }
      return '';
    };
    assert.match(
      message((x, run) => (run === 0 ? sigmoid(sigmoid(x)) : sigmoid(x))),
      /kept 2 tensors .* in its first run, but 1 in its second; it must compute the same/,
    );
    assert.match(
      message((x, run) => sigmoid(run === 0 ? x : sum(x, { dim: 0 }))),
      /kept a tensor of shape \[2, 3\] \(Float\) in its first run, but of \[3\] \(Float\)/,
    );
    const gone = mul(leaf([2, 3]), 2);
    assert.match(
      message((x, run) => {
        if (run > 0) gone.dispose();
        return mul(x, gone);
      }),
      /used after it was disposed/,
    );
    const inside = (x: Tensor): Tensor => {
      const y = sigmoid(x);
      sum(y).backward();
      return y;
    };
    assert.throws(() => checkpoint(inside, [leaf([2])]), /inside the checkpoint's own function/);
  });

  it('counts the second forward pass among the operations', () => {
    const layers = Array.from({ length: 2 }, (_, seed) => {
      return new Linear({ inFeatures: 8, outFeatures: 8, generator: new Generator({ seed }) });
    });
    const cost = (run: Run): number =>
      countFlops(() => {
        const x = leaf([4, 8]);
        sum(layers.reduce((y, layer) => run((x) => gelu(layer.forward(x)), y), x)).backward();
      });
    const forward = 2 * (2 * 4 * 8 * 8);
    assert.equal(cost(plainly), 3 * forward);
    assert.equal(cost(checkpointed), 4 * forward);
  });
});
