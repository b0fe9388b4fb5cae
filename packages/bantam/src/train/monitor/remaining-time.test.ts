import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RemainingTime } from './remaining-time.js';

/** Estimates after steps of 100 samples that take these seconds. */
function estimates(seconds: readonly number[], before = { seconds: 0, samples: 0, flops: 0 }) {
  const remaining = new RemainingTime({ unit: 'samples', amount: 2000 });
  const spent = { ...before };
  return seconds.map((own) => {
    spent.seconds += own;
    spent.samples += 100;
    return remaining.after(spent);
  });
}

describe('RemainingTime', () => {
  it('leaves the slow first step out, and is null until three others took two seconds', () => {
    // After five steps 1500 samples are left, at 100 a second.
    assert.deepEqual(estimates([30, 1, 1, 1, 1]), [null, null, null, 16, 15]);
    assert.deepEqual(estimates([5, 0.5, 0.5, 0.5]), [null, null, null, null]);
  });

  it('takes the pace of this process in a run that resumes', () => {
    const before = { seconds: 5000, samples: 1000, flops: 0 };
    assert.deepEqual(estimates([9, 2, 2, 2], before).at(-1), 12);
  });

  it('is what is left of a budget of time, at once', () => {
    const remaining = new RemainingTime({ unit: 'seconds', amount: 60 });
    assert.equal(remaining.after({ seconds: 25, samples: 100, flops: 0 }), 35);
    assert.equal(remaining.after({ seconds: 61, samples: 200, flops: 0 }), 0);
  });

  it('is zero at the end of the budget, however few steps there were', () => {
    const remaining = new RemainingTime({ unit: 'samples', amount: 100 });
    assert.equal(remaining.after({ seconds: 1, samples: 100, flops: 0 }), 0);
  });
});
