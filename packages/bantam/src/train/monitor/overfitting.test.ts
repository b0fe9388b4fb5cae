import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeSummary, summarizeValidations, ValidationPace } from './overfitting.js';

function rows(values: readonly number[], lowerIsBetter = false) {
  let best = lowerIsBetter ? Infinity : -Infinity;
  return values.map((value, i) => {
    const isBest = lowerIsBetter ? value < best : value > best;
    if (isBest) best = value;
    const step = 10 * (i + 1);
    const progress = (i + 1) / values.length;
    return { step, samples: 8 * step, progress, metric: 'acc1', value, best: isBest };
  });
}

function sentence(values: readonly number[], samples?: number): string {
  const summary = summarizeValidations(rows(values), { lowerIsBetter: false, samples });
  assert.ok(summary !== null);
  return describeSummary(summary);
}

describe('summarizeValidations', () => {
  it('compares the last with the best', () => {
    const summary = summarizeValidations(rows([0.3, 0.5, 0.4]), {
      lowerIsBetter: false,
      samples: 400,
    });
    assert.deepEqual([summary?.best.step, summary?.last.step], [20, 30]);
    assert.ok(Math.abs((summary?.loss ?? 0) - 0.1) < 1e-12);
    // 1.96 · √((0.25 + 0.24) / 400)
    assert.ok(Math.abs((summary?.error ?? 0) - 0.0686) < 1e-4);
  });

  it('knows ranks, where less is better', () => {
    const summary = summarizeValidations(rows([9, 3, 5], true), { lowerIsBetter: true });
    assert.deepEqual([summary?.best.value, summary?.loss, summary?.error], [3, 2, null]);
  });

  it('has none without validations', () => {
    assert.equal(summarizeValidations([], { lowerIsBetter: false }), null);
  });
});

describe('describeSummary', () => {
  it('says where the best point was and what the last is worse by', () => {
    assert.match(
      sentence([0.3, 0.5, 0.4, 0.3], 400),
      /best after 50 % of the budget \(step 20, 160 samples\): acc1 0\.5000; the last, 0\.3000, is worse by 0\.2000: from there on/,
    );
  });

  it('calls a difference within the sampling error so, and no fall no overfitting', () => {
    assert.match(sentence([0.3, 0.5, 0.48], 400), /within the sampling error \(±0\.0693\)/);
    assert.match(sentence([0.3, 0.5], 400), /best at the end, acc1 0\.5000: no sign/);
    assert.match(
      sentence([0.3, 0.5, 0.5]),
      /last validation is as good as the best, after 67 % of .* \(step 20, .*acc1 0\.5000, no sign/,
    );
  });
});

describe('ValidationPace', () => {
  it('lets validations take 5 % of the training time, and tells the cost once', () => {
    const pace = new ValidationPace();
    assert.ok(pace.allows(0));
    assert.equal(pace.add(2, { every: 0.1 }), 'The validation took 2.0 s; 10 of them take about 20 s.'); // prettier-ignore
    assert.ok(!pace.allows(79));
    assert.ok(pace.allows(80));
    assert.equal(pace.add(2, { every: 0.1 }), undefined);
    assert.ok(!pace.allows(119));
    assert.ok(pace.allows(120));
  });
});
