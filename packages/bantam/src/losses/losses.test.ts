import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  detach,
  emptyCache,
  expand,
  fromTypedArray,
  full,
  Generator,
  memoryStats,
  mul,
  noGrad,
  normalize,
  randn,
  resetPeakBytes,
  scope,
  tensor,
  type Tensor,
} from '@bantam/torch';
import {
  clipLoss,
  collapsedClipLoss,
  collapsedSigLipLoss,
  collapsedSimclrLoss,
  globalContrastiveLoss,
  sigLipLoss,
  simclrLoss,
} from './index.js';
import {
  assertFiniteDifferences,
  near,
  valueAndGradients,
  type Loss,
  type Numbers,
} from '../test-support/losses.js';

type PairLoss = Loss<readonly [Tensor, Tensor, Tensor, Tensor]>;

const f64 = { dtype: 'float64' } as const;

/** Two features, a scale and a bias. */
function numbers(batch: number, scale = 5): Numbers[] {
  return scope(() => {
    const draw = (seed: number) =>
      normalize(randn([batch, 4], new Generator({ seed }), f64)).toArray();
    const shape = [batch, 4];
    return [
      { shape, values: draw(1) },
      { shape, values: draw(2) },
      { shape: [], values: [scale] },
      { shape: [], values: [-2] },
    ];
  });
}

function assertSame(a: number[][], b: number[][], tolerance: number): void {
  assert.deepEqual(
    a.map((x) => x.length),
    b.map((x) => x.length),
  );
  a.flat().forEach((value, i) => {
    near(value, b.flat()[i] ?? NaN, tolerance);
  });
}

const duplicates = [3, 1, 3, 8, 1, 3, 5];
const unseen = (batch: number) => full([batch], -Infinity, f64);
const losses: Readonly<Record<string, (groups?: Tensor, chunk?: number) => PairLoss>> = {
  clipLoss:
    (groups, chunk) =>
    ([x, y, t]) =>
      clipLoss(x, y, t, { groups, chunk }),
  sigLipLoss:
    (groups, chunk) =>
    ([x, y, t, b]) =>
      sigLipLoss(x, y, { logitScale: t, logitBias: b, groups, chunk }),
};

for (const [name, make] of Object.entries(losses)) {
  describe(`${name} over pairs`, () => {
    it('has the gradient of finite differences, with duplicates', () => {
      const own = tensor(duplicates, { dtype: 'int64' });
      assertFiniteDifferences(make(own), numbers(7));
      assertFiniteDifferences(make(), numbers(3));
    });
    it('has the same value and gradients in blocks, with an uneven last one', () => {
      const own = tensor(duplicates, { dtype: 'int64' });
      for (const chunk of [1, 3, 7, 9]) {
        for (const given of [own, undefined]) {
          const plain = valueAndGradients(make(given), numbers(7, 40));
          assertSame(valueAndGradients(make(given, chunk), numbers(7, 40)), plain, 1e-12);
        }
      }
    });
    it('equals the plain loss if all groups differ', () => {
      const apart = tensor([4, 9, 2], { dtype: 'int64' });
      const plain = valueAndGradients(make(), numbers(3));
      assertSame(valueAndGradients(make(apart), numbers(3)), plain, 1e-13);
    });
    it('gives a gradient only to inputs that require one', () => {
      scope(() => {
        const [x, y, t, b] = numbers(5).map(({ values, shape }) =>
          fromTypedArray(Float64Array.from(values), { shape }),
        ) as [Tensor, Tensor, Tensor, Tensor];
        y.requiresGrad = true;
        for (const chunk of [2, 5]) make(undefined, chunk)([x, y, t, b]).backward();
        assert.equal(x.grad, null);
        const [, , expected = []] = valueAndGradients(make(), numbers(5));
        const twice = y.grad?.toArray() ?? [];
        for (const [i, value] of expected.entries()) near((twice[i] ?? NaN) / 2, value, 1e-12);
        near(make()([x, detach(y), t, b]).item(), make()([x, y, t, b]).item(), 0);
      });
    });
    it('is finite in float32 at the largest scale', () => {
      scope(() => {
        const pairs = tensor([[1, 0], [-1, 0]]); // prettier-ignore
        for (const chunk of [1, 2]) {
          for (const sign of [1, -1]) {
            const x = mul(pairs, sign);
            x.requiresGrad = true;
            const loss = make(undefined, chunk)([x, pairs, full([], 100), full([], -10)]);
            loss.backward();
            const most = sign === 1 ? 1e-5 : 220;
            assert.ok(loss.item() > -1e-5 && loss.item() < most, `${loss.item()}`);
            assert.ok(x.grad?.toArray().every(Number.isFinite));
          }
        }
      });
    });
    it('keeps no matrix of all pairs: never in blocks, by default not beyond 2048', () => {
      const peak = (batch: number, chunk?: number) =>
        scope(() => {
          const draw = (seed: number) => {
            const x = randn([batch, 8], new Generator({ seed }));
            x.requiresGrad = true;
            return x;
          };
          const inputs = [draw(1), draw(2), full([], 5), full([], -2)] as const;
          emptyCache();
          const before = memoryStats().liveBytes;
          resetPeakBytes();
          make(undefined, chunk)(inputs).backward();
          return memoryStats().peakBytes - before;
        });
      assert.ok(peak(1024) > 4 * 1024 ** 2);
      assert.ok(peak(1024, 64) < 3 * 1024 ** 2);
      // Blocks of 1365 texts: two of them in memory are as much as one matrix.
      assert.ok(peak(3072) < 4 * 3072 ** 2);
    });
  });
}

describe('simclrLoss', () => {
  it('has the gradient of finite differences', () => {
    const loss: PairLoss = ([a, b]) => simclrLoss(a, b, { temperature: 0.3 });
    assertFiniteDifferences(loss, numbers(3));
  });
});

describe('globalContrastiveLoss', () => {
  it('with gamma 1 has value and gradient of the loss over the batch', () => {
    const loss: PairLoss = ([x, y, t]) =>
      globalContrastiveLoss(x, y, {
        logU: [unseen(4), unseen(4)],
        gamma: 1,
        temperature: t,
        rho: 6.5,
      }).loss;
    assertFiniteDifferences(loss, numbers(4, 0.4));
  });
  it('mixes the estimates, and starts an unseen sample with its own', () => {
    scope(() => {
      const [x, y] = numbers(2).map(({ values }) => fromTypedArray(Float64Array.from(values))) as [Tensor, Tensor]; // prettier-ignore
      const [image, text] = [x, y].map((v) => fromTypedArray(v.toTypedArray(), { shape: [2, 4] })) as [Tensor, Tensor]; // prettier-ignore
      const before = tensor([Math.log(3), -Infinity], f64);
      const { logU } = globalContrastiveLoss(image, text, {
        logU: [before, before],
        gamma: 0.3,
        temperature: 0.5,
      });
      const dot = (i: number, j: number) => [0, 1, 2, 3].reduce((s, k) => s + (x.toArray()[4 * i + k] ?? 0) * (y.toArray()[4 * j + k] ?? 0), 0); // prettier-ignore
      const g = [
        Math.exp((dot(0, 1) - dot(0, 0)) / 0.5),
        Math.exp((dot(1, 0) - dot(1, 1)) / 0.5),
      ] as const;
      near(Math.exp(logU[0].toArray()[0] ?? NaN), 0.7 * 3 + 0.3 * g[0], 1e-12);
      near(Math.exp(logU[0].toArray()[1] ?? NaN), g[1], 1e-12);
    });
  });
  it('does not overflow in float32 at a temperature of 0.01', () => {
    scope(() => {
      const x = tensor([[1, 0], [-1, 0]]); // prettier-ignore
      const y = tensor([[-1, 0], [1, 0]]); // prettier-ignore
      x.requiresGrad = true;
      const start = full([2], -Infinity);
      const options = { logU: [start, start] as const, gamma: 1, temperature: 0.01 };
      const { loss } = globalContrastiveLoss(x, y, options);
      near(loss.item(), 0.01 * 2 * 200, 1e-5);
      loss.backward();
      assert.ok(x.grad?.toArray().every(Number.isFinite));
    });
  });
});

describe('the collapsed value of each contrastive loss', () => {
  it('is its value on equal features', () => {
    noGrad(() => {
      scope(() => {
        const same = expand(normalize(randn([1, 4], new Generator({ seed: 1 }), f64)), [7, 4]);
        const start = unseen(7);
        const sigmoid = { logitScale: 10, logitBias: -10.5 };
        near(clipLoss(same, same, 9).item(), collapsedClipLoss(7), 1e-12);
        near(sigLipLoss(same, same, sigmoid).item(), collapsedSigLipLoss(7, sigmoid), 1e-12);
        near(simclrLoss(same, same).item(), collapsedSimclrLoss(7), 1e-12);
        const settled = { logU: [start, start] as const, gamma: 1, temperature: 0.07, rho: 6.5 };
        // 2·τ·(ln(ε + 1) + ρ), as every g is 1.
        near(globalContrastiveLoss(same, same, settled).loss.item(), 2 * 0.07 * 6.5, 1e-12);
      });
    });
  });
});
