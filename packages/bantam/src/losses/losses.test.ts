import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  emptyCache,
  expand,
  fromTypedArray,
  full,
  Generator,
  memoryStats,
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
  collapsedGlobalContrastiveLoss,
  collapsedSigLipLoss,
  collapsedSimclrLoss,
  globalContrastiveLoss,
  sigLipLoss,
  simclrLoss,
} from './index.js';

type Loss = (inputs: readonly [Tensor, Tensor, Tensor, Tensor]) => Tensor;

const f64 = { dtype: 'float64' } as const;

function near(actual: number, expected: number, tolerance: number): void {
  const error = Math.abs(actual - expected);
  assert.ok(error <= tolerance * Math.max(1, Math.abs(expected)), `${actual}, not ${expected}`);
}

/** Two features, a scale and a bias, as numbers. */
function numbers(batch: number, scale = 5): number[][] {
  return scope(() => {
    const draw = (seed: number) =>
      normalize(randn([batch, 4], new Generator({ seed }), f64)).toArray();
    return [draw(1), draw(2), [scale], [-2]];
  });
}

function valueAndGradients(loss: Loss, values: readonly (readonly number[])[]): number[][] {
  return scope(() => {
    const leaves = values.map((list) => {
      const shape = list.length === 1 ? [] : [list.length / 4, 4];
      const leaf = fromTypedArray(Float64Array.from(list), { shape });
      leaf.requiresGrad = true;
      return leaf;
    });
    const value = loss(leaves as unknown as [Tensor, Tensor, Tensor, Tensor]);
    value.backward();
    return [[value.item()], ...leaves.map((x) => x.grad?.toArray() ?? x.toArray().map(() => 0))];
  });
}

function assertFiniteDifferences(loss: Loss, values: readonly (readonly number[])[]): void {
  const [, ...gradients] = valueAndGradients(loss, values);
  values.forEach((list, i) => {
    list.forEach((value, place) => {
      const [below, above] = [-1e-6, 1e-6].map((change) => {
        const moved = values.map((x) => [...x]);
        moved[i]?.splice(place, 1, value + change);
        return valueAndGradients(loss, moved)[0]?.[0] ?? NaN;
      }) as [number, number];
      near(gradients[i]?.[place] ?? NaN, (above - below) / 2e-6, 2e-8);
    });
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
const losses: Readonly<Record<string, (groups?: Tensor, chunk?: number) => Loss>> = {
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
    it('is the same in blocks, with an uneven last one', () => {
      const own = tensor(duplicates, { dtype: 'int64' });
      for (const chunk of [1, 3, 7, 9]) {
        for (const given of [own, undefined]) {
          const plain = valueAndGradients(make(given), numbers(7, 40));
          assertSame(valueAndGradients(make(given, chunk), numbers(7, 40)), plain, 1e-12);
        }
      }
    });
    it('is the plain loss where all groups differ', () => {
      const apart = tensor([4, 9, 2], { dtype: 'int64' });
      const plain = valueAndGradients(make(), numbers(3));
      assertSame(valueAndGradients(make(apart), numbers(3)), plain, 1e-13);
    });
    it('keeps no matrix of all pairs', () => {
      const batch = 1024;
      const peak = (chunk?: number) =>
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
      const [whole, parts] = [peak(), peak(64)];
      assert.ok(whole > 4 * batch * batch, `${whole}`);
      assert.ok(parts < 3 * batch * batch, `${parts} of ${whole}`);
    });
  });
}

describe('simclrLoss', () => {
  it('has the gradient of finite differences', () => {
    assertFiniteDifferences(([a, b]) => simclrLoss(a, b, { temperature: 0.3 }), numbers(3));
  });
});

describe('globalContrastiveLoss', () => {
  it('with gamma 1 has value and gradient of the loss over the batch', () => {
    const loss: Loss = ([x, y, t]) =>
      globalContrastiveLoss(x, y, {
        logU: [unseen(4), unseen(4)],
        gamma: 1,
        temperature: t,
        rho: 6.5,
      }).loss;
    assertFiniteDifferences(loss, numbers(4, 0.4));
  });
  it('mixes the estimates, and starts a sample that was not seen with its own', () => {
    scope(() => {
      const [x, y] = numbers(2).map((list) => fromTypedArray(Float64Array.from(list))) as [Tensor, Tensor]; // prettier-ignore
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

describe('losses where all features are equal', () => {
  it('are what the functions beside them say', () => {
    noGrad(() => {
      scope(() => {
        const same = expand(normalize(randn([1, 4], new Generator({ seed: 1 }), f64)), [7, 4]);
        const start = unseen(7);
        const sigmoid = { logitScale: 10, logitBias: -10.5 };
        near(clipLoss(same, same, 9).item(), collapsedClipLoss(7), 1e-12);
        near(sigLipLoss(same, same, sigmoid).item(), collapsedSigLipLoss(7, sigmoid), 1e-12);
        near(simclrLoss(same, same).item(), collapsedSimclrLoss(7), 1e-12);
        const settled = { logU: [start, start] as const, gamma: 1, temperature: 0.07, rho: 6.5 };
        near(
          globalContrastiveLoss(same, same, settled).loss.item(),
          collapsedGlobalContrastiveLoss(0.07, { rho: 6.5 }),
          1e-12,
        );
      });
    });
  });
});
