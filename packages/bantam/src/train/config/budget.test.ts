import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UsageError } from '../../base/errors.js';
import { budgetProgress, parseBudget, schedulePosition, withoutEpochs } from './budget.js';

describe('parseBudget', () => {
  it('reads times, samples and operations', () => {
    assert.deepEqual(parseBudget('90s'), { unit: 'seconds', amount: 90 });
    assert.deepEqual(parseBudget('5m'), { unit: 'seconds', amount: 300 });
    assert.deepEqual(parseBudget('1.5h'), { unit: 'seconds', amount: 5400 });
    assert.deepEqual(parseBudget('100ksamples'), { unit: 'samples', amount: 100_000 });
    assert.deepEqual(parseBudget('76544 samples'), { unit: 'samples', amount: 76_544 });
    assert.deepEqual(parseBudget('2msamples'), { unit: 'samples', amount: 2_000_000 });
    assert.deepEqual(parseBudget('1e15flops'), { unit: 'flops', amount: 1e15 });
  });

  it('refuses nothing, zero, and unknown units', () => {
    for (const text of ['', '0', '0m', '0samples', '5', '5 parsecs', '-3m', 'm', 'Infinityh']) {
      assert.throws(() => parseBudget(text), UsageError, text);
    }
  });
});

describe('withoutEpochs', () => {
  it('turns passes over the data into samples, and leaves other budgets', () => {
    assert.equal(withoutEpochs('10epochs', 1234), '12340samples');
    assert.equal(withoutEpochs('0.5 epochs', 5), '3samples');
    assert.equal(withoutEpochs('1epoch', 7), '7samples');
    assert.equal(withoutEpochs('30m', 7), '30m');
    assert.throws(() => parseBudget(withoutEpochs('0epochs', 7)), UsageError);
  });
});

describe('progress', () => {
  const spent = { seconds: 30, samples: 1000, flops: 1e9 };

  it('is the fraction of the budget, at most 1', () => {
    assert.equal(budgetProgress({ unit: 'seconds', amount: 120 }, spent), 0.25);
    assert.equal(budgetProgress({ unit: 'samples', amount: 500 }, spent), 1);
  });

  it('counts whole steps for samples', () => {
    const budget = { unit: 'samples', amount: 1000 } as const;
    assert.deepEqual(schedulePosition(budget, { seconds: 9, samples: 512, flops: 0 }, 256), {
      step: 2,
      total: 4,
    });
  });
});
