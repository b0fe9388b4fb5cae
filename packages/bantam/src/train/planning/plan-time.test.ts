import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseBudget } from '../config/budget.js';
import { planTime, samplesWithin, type TimeCosts } from './plan-time.js';
import { requireWithin } from './time-limit.js';

const spent = { seconds: 0, samples: 0, flops: 0 };

/** One phase: a step of 8 samples takes half a second and a thousand operations. */
const plain: TimeCosts = {
  samplesPerStep: 8,
  phases: [
    { name: 'training', fraction: 1, flopsPerStep: 1000, secondsPerStep: 0.5, measuredOn: 8 },
  ],
  preparation: 0,
  spent,
};

/** A cheap phase for three quarters of the budget, then a dear one. */
const tuned: TimeCosts = {
  ...plain,
  phases: [
    { name: 'reduced', fraction: 0.75, flopsPerStep: 500, secondsPerStep: 0.25, measuredOn: 8 },
    { name: 'tuning', fraction: 0.25, flopsPerStep: 1000, secondsPerStep: 1, measuredOn: 8 },
  ],
};

function plan(budget: string, costs: TimeCosts) {
  return planTime(parseBudget(budget), costs);
}

describe('planTime', () => {
  it('lays samples, operations and time out in whole steps', () => {
    for (const [budget, steps] of [
      ['96samples', 12],
      ['97samples', 13],
      ['4000flops', 4],
      ['4001flops', 5],
      ['3s', 6],
      ['1samples', 1],
    ] as const) {
      const { samples, flops, training, total, rate, ...found } = plan(budget, plain);
      assert.equal(found.steps, steps, budget);
      assert.deepEqual(
        { samples, flops, training, total, rate },
        {
          samples: 8 * steps,
          flops: 1000 * steps,
          training: steps / 2,
          total: steps / 2,
          rate: 16,
        },
      );
    }
  });

  it('gives each phase its fraction of what the budget counts', () => {
    const steps = (budget: string) => plan(budget, tuned).phases.map((phase) => phase.steps);
    assert.deepEqual(steps('96samples'), [9, 3]);
    assert.deepEqual(steps('12000flops'), [18, 3]);
    assert.deepEqual(steps('12s'), [36, 3]);
    // The step that goes beyond a phase's share is at the cost of the next one.
    assert.deepEqual(steps('100samples'), [10, 3]);
    assert.deepEqual(steps('8samples'), [1, 0]);
    const { training, flops, samples } = plan('96samples', tuned);
    assert.deepEqual({ training, flops, samples }, { training: 5.25, flops: 7500, samples: 96 });
  });

  it('counts what comes before the first step, and says what it leaves out', () => {
    const { preparation, training, total, leftOut } = plan('96samples', {
      ...plain,
      preparation: 7,
    });
    assert.deepEqual([preparation, training, total], [7, 6, 13]);
    assert.deepEqual(leftOut, ['data', 'validation', 'saving']);
  });

  it('plans what remains of a run that has begun', () => {
    const begun = { ...tuned, spent: { seconds: 30, samples: 80, flops: 5000 } };
    const { steps, total, phases, ...rest } = plan('96samples', begun);
    assert.deepEqual([steps, total, rest.spent], [2, 2, 30]);
    assert.deepEqual(phases.map((phase) => phase.steps), [0, 2]); // prettier-ignore
    const done = plan('80samples', begun);
    assert.deepEqual([done.steps, done.total, done.rate], [0, 0, 0]);
  });
});

describe('samplesWithin', () => {
  it('is the largest budget that fits: one more step does not', () => {
    for (const costs of [plain, tuned, { ...tuned, preparation: 2.5 }]) {
      for (const limit of [4, 60.3, 12345]) {
        const samples = samplesWithin(limit, costs);
        assert.ok(plan(`${samples}samples`, costs).total <= limit);
        assert.ok(plan(`${samples + 8}samples`, costs).total > limit, `${samples} in ${limit} s`);
      }
    }
    assert.equal(samplesWithin(60, plain), 960);
    assert.equal(samplesWithin(0.4, plain), 0);
  });
});

describe('requireWithin', () => {
  const within =
    (limit: number, budget: string, costs = plain, settingsIn?: string) =>
    () => {
      requireWithin(limit, { budget: parseBudget(budget), costs, settingsIn });
    };

  it('lets pass what fits, to the second', () => {
    within(6, '96samples')();
    within(13, '96samples', { ...plain, preparation: 7 })();
  });

  it('refuses what does not, with the largest budget that does', () => {
    for (const [refused, message] of [
      [
        within(5.9, '96samples'),
        'This training would take about 6 s, but train.timeLimit allows 5.9 s; with --budget 88samples it would fit.',
      ],
      [
        within(3600, '1e8flops'),
        'This training would take about 13.9 h, but train.timeLimit allows 1 h; with --budget 57600samples it would fit.',
      ],
      [
        within(0.1, '96samples'),
        'This training would take about 6 s, but train.timeLimit allows 0.1 s; not even one step would fit, so take a smaller model or a higher limit.',
      ],
      [
        within(100, '95s', { ...plain, preparation: 7.25 }),
        'This training would take about 1.7 min, but train.timeLimit allows 1.7 min; with --budget 92.75s it would fit.',
      ],
      [
        within(3610, '96samples', { ...plain, spent: { ...spent, seconds: 3606, samples: 8 } }, 'run/config.json'), // prettier-ignore
        'This training would take about 5.5 s more after 1 h, but train.timeLimit allows 1 h; with "timeLimit": 1.01 in run/config.json it would resume.',
      ],
    ] as const) {
      assert.throws(refused, { message });
    }
  });
});
