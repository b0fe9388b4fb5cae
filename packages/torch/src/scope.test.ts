import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  AdamW,
  add,
  autocast,
  clipGradNorm,
  Ema,
  Generator,
  keep,
  Linear,
  liveTensors,
  mean,
  memoryStats,
  Mlp,
  Module,
  MultiheadAttention,
  noGrad,
  ones,
  pow,
  randn,
  scope,
  sub,
  zeros,
  type Tensor,
} from './index.js';

describe('scope', () => {
  it('frees what it does not return', () => {
    const before = liveTensors();
    let inner: Tensor | undefined;
    const result = scope(() => {
      inner = ones([3]);
      return add(inner, 1);
    });
    assert.equal(liveTensors(), before + 1);
    assert.ok(inner?.isDisposed);
    assert.deepEqual(result.toArray(), [2, 2, 2]);
    result.dispose();
    assert.equal(liveTensors(), before);
  });

  it('looks for what to keep in arrays, maps, sets and objects', () => {
    const before = liveTensors();
    const { list, map, record } = scope(() => ({
      list: [ones([1]), [ones([1])]] as const,
      map: new Map([['a', new Set([ones([1])])]]),
      record: { deep: { x: ones([1]) } },
    }));
    assert.equal(liveTensors(), before + 4);
    const kept = [list[0], list[1][0], ...(map.get('a') ?? []), record.deep.x];
    for (const each of kept) each.dispose();
    assert.equal(liveTensors(), before);
  });

  it('passes what it returns to the scope around', () => {
    const before = liveTensors();
    const outer = scope(() => {
      const inner = scope(() => ones([2]));
      assert.ok(!inner.isDisposed);
      return inner.shape;
    });
    assert.deepEqual(outer, [2]);
    assert.equal(liveTensors(), before);
  });

  it('frees everything when its body throws', () => {
    const before = liveTensors();
    assert.throws(
      () =>
        scope(() => {
          zeros([4]);
          throw new RangeError('no');
        }),
      RangeError,
    );
    assert.equal(liveTensors(), before);
  });

  it('lets live what is kept', () => {
    const kept = scope(() => {
      keep(ones([1]));
      return [keep(scope(() => ones([1])))];
    })[0];
    assert.equal(kept?.isDisposed, false);
  });

  it('refuses an asynchronous body', () => {
    assert.throws(() => scope(async () => Promise.resolve(1)), {
      name: 'TorchError',
      message: /synchronous/,
    });
  });

  it('a tensor used after it was disposed says so', () => {
    const x = ones([1]);
    x.dispose();
    x.dispose();
    assert.throws(() => add(x, 1), { name: 'TorchError', message: /after it was disposed/ });
    assert.throws(() => x.dtype, { name: 'TorchError' });
    assert.equal(String(x), 'Tensor(disposed)');
  });

  it('using frees at the end of a block', () => {
    const before = liveTensors();
    {
      using x = ones([1]);
      assert.equal(x.item(), 1);
    }
    assert.equal(liveTensors(), before);
  });
});

class Block extends Module {
  attn: MultiheadAttention;
  mlp: Mlp;
  head: Linear;

  constructor(generator: Generator) {
    super();
    this.attn = new MultiheadAttention({ width: 16, heads: 2, generator });
    this.mlp = new Mlp({ width: 16, hidden: 32, activation: 'quick-gelu', generator });
    this.head = new Linear({ inFeatures: 16, outFeatures: 1, generator });
  }

  forward(x: Tensor): Tensor {
    const y = add(x, this.attn.forward(x, { causal: true }));
    return this.head.forward(add(y, this.mlp.forward(y)));
  }
}

describe('training', () => {
  it('leaves live tensors and bytes flat over 500 steps, and learns', () => {
    const generator = new Generator({ seed: 1 });
    const model = new Block(generator);
    const optimizer = new AdamW(model, { lr: 3e-3 });
    const ema = new Ema(model);
    const x = randn([8, 6, 16], generator);
    const target = mean(x, { dim: -1, keepdim: true });
    const step = (): number =>
      scope(() => {
        const loss = autocast('bfloat16', () => mean(pow(sub(model.forward(x), target), 2)));
        loss.backward();
        clipGradNorm(model.parameters(), 1);
        optimizer.step();
        optimizer.zeroGrad();
        ema.update({ decay: 0.9 });
        return loss.item();
      });
    const first = step();
    const before = memoryStats();
    let last = first;
    for (let count = 0; count < 500; count++) last = step();
    const after = memoryStats();
    assert.equal(after.liveTensors, before.liveTensors);
    assert.equal(after.liveBytes, before.liveBytes);
    assert.ok(last < first / 10, `loss ${first} → ${last}`);

    optimizer.dispose();
    ema.dispose();
    model.dispose();
    assert.ok(noGrad(() => memoryStats().liveTensors) < after.liveTensors);
  });
});
