import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  expand,
  eye,
  full,
  Generator,
  mean,
  mul,
  randn,
  scope,
  sum,
  tensor,
  type Tensor,
} from '@bantam/torch';
import { chooseExperts, dispatch, gatesOf, routingLoss } from './routing.js';

/** Lists of the experts of each token. */
function lists(mask: { toArray(): number[]; shape: readonly number[] }): number[][] {
  const values = mask.toArray();
  const [tokens = 0, experts = 0] = mask.shape;
  return Array.from({ length: tokens }, (_, token) =>
    Array.from({ length: experts }, (_, expert) => expert).filter(
      (expert) => values[token * experts + expert] === 1,
    ),
  );
}

/** Experts by falling score: 0 1 2, 0 2 1, 0 1 2, 0 2 1. */
const scores = () =>
  tensor([
    [3, 2, 1],
    [3, 1, 2],
    [3, 2, 1],
    [3, 1, 2],
  ]);

describe('chooseExperts', () => {
  it('chooses the experts of the highest scores without a capacity', () => {
    scope(() => {
      const { wanted, taken } = chooseExperts(scores(), { topK: 2, capacity: null });
      assert.deepEqual(lists(taken), [[0, 1], [0, 2], [0, 1], [0, 2]]); // prettier-ignore
      assert.deepEqual(lists(wanted), lists(taken));
    });
  });

  it('serves first wishes before second ones, and earlier tokens before later ones', () => {
    scope(() => {
      const { wanted, taken } = chooseExperts(scores(), { topK: 2, capacity: 3 });
      assert.deepEqual(lists(taken), [[0, 1], [0, 2], [0, 1], [2]]); // prettier-ignore
      assert.deepEqual(lists(wanted)[3], [0, 2]);
    });
  });

  it('sends a token whose expert is full to the next best one', () => {
    scope(() => {
      const { wanted, taken } = chooseExperts(scores(), { topK: 1, capacity: 2 });
      assert.deepEqual(lists(taken), [[0], [0], [1], [2]]);
      assert.deepEqual(lists(wanted), [[0], [0], [0], [0]]);
    });
  });

  it('gives every token an expert if the capacities suffice for all', () => {
    for (let seed = 0; seed < 20; seed++) {
      scope(() => {
        const drawn = randn([12, 4], new Generator({ seed }));
        const { taken } = chooseExperts(drawn, { topK: 1, capacity: 3 });
        assert.deepEqual(sum(taken, { dim: 1 }).toArray(), Array(12).fill(1));
        assert.deepEqual(sum(taken, { dim: 0 }).toArray(), [3, 3, 3, 3]);
      });
    }
  });
});

describe('dispatch', () => {
  it('lists the tokens of each expert with their gates, which sum to 1 for each token', () => {
    scope(() => {
      const { taken } = chooseExperts(scores(), { topK: 2, capacity: 3 });
      const sent = dispatch(gatesOf(scores(), taken), taken, 2);
      assert.deepEqual(sent.loads, [3, 2, 2]);
      assert.deepEqual(sent.tokens.toArray(), [0, 1, 2, 0, 2, 1, 3]);
      const [high, low] = [Math.E / (1 + Math.E), 1 / (1 + Math.E)];
      [high, high, high, low, low, low, 1].forEach((gate, i) => {
        assert.ok(Math.abs((sent.gates.toArray()[i] ?? NaN) - gate) < 1e-6);
      });
    });
  });
});

describe('routingLoss', () => {
  const lossOf = (logits: Tensor, weights: { balanceWeight: number; zLossWeight: number }) => {
    const { wanted } = chooseExperts(logits, { topK: 1, capacity: null });
    return mean(routingLoss(logits, wanted, { rows: 2, ...weights })).item();
  };

  it('is 1 at an even load of certain choices, and the number of experts if one has all', () => {
    scope(() => {
      const balance = { balanceWeight: 1, zLossWeight: 0 };
      assert.ok(Math.abs(lossOf(mul(eye(4), 50), balance) - 1) < 1e-6);
      const one = mul(tensor([[1, 0, 0, 0]]), 50);
      assert.ok(Math.abs(lossOf(expand(one, [4, 4]), balance) - 4) < 1e-6);
    });
  });

  it('has the square of the log partition function as its second part', () => {
    scope(() => {
      const value = lossOf(full([2, 4], 3), { balanceWeight: 0, zLossWeight: 0.5 });
      assert.ok(Math.abs(value - 0.5 * (3 + Math.log(4)) ** 2) < 1e-5);
    });
  });
});
