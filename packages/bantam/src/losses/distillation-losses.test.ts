import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  emptyCache,
  Generator,
  memoryStats,
  mul,
  normalize,
  randn,
  resetPeakBytes,
  scope,
  sum,
  tensor,
  type Tensor,
} from '@bantam/torch';
import { clipLoss } from './clip-loss.js';
import { featureLoss, interactiveLoss, relationLoss } from './distillation-losses.js';
import type { ScaledFeatures } from './pairwise.js';
import { hardNegatives, pairMatchingLoss } from './pair-matching-loss.js';

function features(seed: number, rows = 6, width = 5): Tensor {
  return normalize(randn([rows, width], new Generator({ seed }), { dtype: 'float64' }));
}

/** Features that take gradients. */
function pairs(seed: number, rows?: number, width?: number) {
  const [image, text] = [features(seed, rows, width), features(seed + 1, rows, width)];
  const logitScale = tensor(9, { dtype: 'float64' });
  for (const leaf of [image, text, logitScale]) leaf.requiresGrad = true;
  return { image, text, logitScale };
}

function fixed(seed: number, width?: number): ScaledFeatures {
  return { image: features(seed, 6, width), text: features(seed + 1, 6, width), logitScale: 30 };
}

function near(actual: number, expected: number, tolerance = 1e-12): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual}, not ${expected}`);
}

function gradients({ image, text, logitScale }: ReturnType<typeof pairs>): number[] {
  return [image, text, logitScale].flatMap(({ grad }) => grad?.toArray() ?? [NaN]);
}

describe('relationLoss', () => {
  it('is 0, with gradient 0, for a student that is its teacher at the same scale', () => {
    scope(() => {
      for (const copies of [1, 3]) {
        const student = pairs(1);
        const teachers = Array.from({ length: copies }, () => student);
        const loss = relationLoss(student, teachers);
        loss.backward();
        near(loss.item(), 0);
        for (const value of gradients(student)) near(value, 0);
        const apart = relationLoss(student, [{ ...student, logitScale: 50 }]);
        assert.ok(apart.item() > 0.01, 'at another scale it is not');
      }
    });
  });

  it('does not change if a teacher is repeated', () => {
    scope(() => {
      const teacher = fixed(7, 8);
      const [once, thrice] = [[teacher], [teacher, teacher, teacher]].map((teachers) => {
        const student = pairs(1);
        const loss = relationLoss(student, teachers);
        loss.backward();
        return [loss.item(), ...gradients(student)];
      }) as [number[], number[]];
      once.forEach((value, i) => {
        near(thrice[i] ?? NaN, value);
      });
    });
  });

  it('averages distributions, not logits', () => {
    scope(() => {
      // Two teachers, each sure of another text: the mean is half and half.
      const one = tensor([[1, 0], [0, 1]], { dtype: 'float64' }); // prettier-ignore
      const other = tensor([[0, 1], [1, 0]], { dtype: 'float64' }); // prettier-ignore
      const flat = tensor([[1, 0], [1, 0]], { dtype: 'float64' }); // prettier-ignore
      const teachers = [one, other].map((text) => ({ image: one, text, logitScale: 1000 }));
      near(relationLoss({ image: flat, text: flat, logitScale: 5 }, teachers).item(), 0);
    });
  });

  it('is finite if a teacher gives a text the probability 0', () => {
    scope(() => {
      const student = pairs(1);
      const loss = relationLoss(student, [{ ...fixed(3), logitScale: 1e5 }]);
      loss.backward();
      assert.ok([loss.item(), ...gradients(student)].every(Number.isFinite));
    });
  });

  it('needs a teacher', () => {
    scope(() => {
      assert.throws(() => relationLoss(pairs(1), []), /needs a teacher/);
    });
  });
});

describe('interactiveLoss', () => {
  it('equals the contrastive loss for a student that is its teacher', () => {
    scope(() => {
      const student = pairs(1);
      const groups = tensor([0, 1, 0, 2, 3, 1], { dtype: 'int64' });
      for (const options of [{}, { groups }]) {
        const expected = clipLoss(student.image, student.text, student.logitScale, options).item();
        for (const chunk of [undefined, 4]) {
          near(interactiveLoss(student, student, { ...options, chunk }).item(), expected);
        }
      }
    });
  });
});

describe('relationLoss and interactiveLoss', () => {
  it('keep no matrix of all pairs when they go in blocks', () => {
    const batch = 1024;
    const peak = (loss: (chunk: number) => Tensor, chunk: number): number =>
      scope(() => {
        emptyCache();
        const before = memoryStats().liveBytes;
        resetPeakBytes();
        loss(chunk).backward();
        return memoryStats().peakBytes - before;
      });
    scope(() => {
      const [student, teacher] = [pairs(1, batch), pairs(3, batch)];
      for (const loss of [
        (chunk: number) => relationLoss(student, [teacher], { chunk }),
        (chunk: number) => interactiveLoss(student, teacher, { chunk }),
      ]) {
        const [whole, parts] = [peak(loss, batch), peak(loss, 32)];
        assert.ok(whole > 8 * batch * batch, `${whole}`);
        assert.ok(parts < 5 * batch * batch, `${parts} of ${whole}`);
      }
    });
  });
});

describe('featureLoss', () => {
  it('is 2 − 2·cos between rows of length 1, at any width, and gives the teacher no gradient', () => {
    scope(() => {
      for (const width of [5, 50]) {
        const [student, teacher] = [features(1, 6, width), features(2, 6, width)];
        for (const leaf of [student, teacher]) leaf.requiresGrad = true;
        const loss = featureLoss(student, teacher);
        loss.backward();
        near(loss.item(), 2 - (2 * sum(mul(student, teacher)).item()) / 6);
        assert.equal(teacher.grad, null);
        near(featureLoss(student, student).item(), 0);
      }
    });
  });
});

describe('pairMatchingLoss', () => {
  const numbers = ({ image, text }: { image: Tensor; text: Tensor }): [number, number][] => {
    const columns = text.toArray();
    return image.toArray().map((row, i) => [row, columns[i] ?? NaN]);
  };

  it('is ln 2 for a matcher that gives 0, and half of it without negatives', () => {
    scope(() => {
      const match = (image: Tensor) => mul(sum(image, { dim: 1 }), 0);
      const alike = tensor([4, 4, 4, 4, 4, 4], { dtype: 'int64' });
      for (const choice of ['hardest', 'assignment'] as const) {
        near(pairMatchingLoss(pairs(1), { choice, match }).item(), Math.log(2));
        for (const [rows, groups] of [
          [1, undefined],
          [6, alike],
        ] as const) {
          // prettier-ignore
          near(pairMatchingLoss(pairs(1, rows), { choice, match, groups }).item(), Math.log(2) / 2);
        }
      }
    });
  });

  it('takes every image and text once in an assignment, and no pair of one group', () => {
    scope(() => {
      for (let seed = 1; seed < 20; seed++) {
        const groups = [0, 0, 0, 1, 1, 2, 3, 4, 5, 6];
        const given = { choice: 'assignment', groups: tensor(groups, { dtype: 'int64' }) } as const;
        const found = numbers(hardNegatives(pairs(seed, 10), given));
        for (const side of [0, 1] as const) {
          const rows = found.map((pair) => pair[side]).sort((a, b) => a - b);
          assert.deepEqual(rows, [...groups.keys()]);
        }
        for (const [image, text] of found) assert.notEqual(groups[image], groups[text]);
      }
    });
  });

  it('leaves out rows without a partner if one group is most of the batch', () => {
    scope(() => {
      const groups = tensor([0, 0, 0, 0, 1], { dtype: 'int64' });
      const found = numbers(hardNegatives(pairs(1, 5), { choice: 'assignment', groups }));
      assert.equal(found.length, 2);
      for (const pair of found) assert.ok(pair.includes(4));
    });
  });

  it('has assignments of at least the similarity of any other, such as the next row for each', () => {
    scope(() => {
      const { image, text } = pairs(5, 30);
      const at = (a: number, b: number): number => {
        const [x, y] = [image.toArray(), text.toArray()];
        return [0, 1, 2, 3, 4].reduce((s, k) => s + (x[5 * a + k] ?? 0) * (y[5 * b + k] ?? 0), 0);
      };
      const found = numbers(hardNegatives({ image, text }, { choice: 'assignment' }));
      const total = found.reduce((s, [a, b]) => s + at(a, b), 0);
      for (let shift = 1; shift < 30; shift++) {
        const other = found.reduce((s, [a]) => s + at(a, (a + shift) % 30), 0);
        assert.ok(total >= other, `${shift}`);
      }
    });
  });
});
