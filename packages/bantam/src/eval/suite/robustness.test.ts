import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { BantamError } from '../../base/errors.js';
import { logit } from '../statistics/effective-robustness.js';
import { wilson } from '../statistics/intervals.js';
import { readBaselines } from './baselines.js';
import { formatRobustness } from './format-robustness.js';
import { checkBaselines, suiteRobustness, type Baselines } from './robustness.js';
import type { Suite } from './suite-schema.js';

const directory = mkdtempSync(join(tmpdir(), 'bantam-robustness-'));
after(() => {
  rmSync(directory, { recursive: true });
});

const suite: Suite = {
  name: 'domains',
  datasets: [
    { name: 'photo', data: 'folder:photo' },
    { name: 'sketch', data: 'folder:sketch', shiftOf: 'photo' },
  ],
};

/** Results of models with these accuracies on photo and sketch. */
function run(
  accuracies: Readonly<Record<string, readonly [photo: number, sketch: number]>>,
  { task = 'zero-shot', metric = 'acc1' } = {},
): Baselines {
  const names = Object.keys(accuracies);
  const entry = (model: string, dataset: string, value: number) => ({
    ...{ model, dataset, task, labels: 'label' },
    metrics: { [metric]: value, acc5: null },
    intervals: { [metric]: wilson(1000 * value, 1000) },
  });
  return {
    models: names.map((name) => ({ name, hash: `hash of ${name}` })),
    results: Object.entries(accuracies).flatMap(([name, [photo, sketch]]) => [
      entry(name, 'photo', photo),
      entry(name, 'sketch', sketch),
    ]),
  };
}

const expit = (x: number): number => 1 / (1 + Math.exp(-x));
/** The point of the line logit(y) = 0.8·logit(x) − 0.5. */
const onLine = (x: number): readonly [number, number] => [x, expit(0.8 * logit(x) - 0.5)];

describe('suiteRobustness', () => {
  const baselines = run({ weak: onLine(0.3), middle: onLine(0.6), strong: onLine(0.9) });

  it('measures against the line of the baselines, with an interval of both data sets', () => {
    const [expected] = [expit(0.8 * logit(0.7) - 0.5)];
    const [shift] = suiteRobustness(suite, run({ mine: [0.7, expected + 0.1] }), [baselines]);
    assert.deepEqual(
      [shift?.dataset, shift?.shiftOf, shift?.metric, shift?.baselines.length],
      ['sketch', 'photo', 'acc1', 3],
    );
    assert.ok(Number(shift?.spread) < 1e-9);
    const [mine] = shift?.models ?? [];
    assert.ok(mine);
    assert.ok(Math.abs(mine.line.slope - 0.8) < 1e-9 && Math.abs(mine.line.intercept + 0.5) < 1e-9);
    assert.ok(Math.abs(mine.predicted - expected) < 1e-9);
    assert.ok(Math.abs(mine.effective - 0.1) < 1e-9);
    // Wilson's interval on the sketches alone, widened by that of the prediction.
    const [low, high] = wilson(1000 * mine.shifted, 1000);
    assert.ok(mine.interval[0] < low - expected && mine.interval[1] > high - expected);
    assert.ok(mine.interval[0] > 0.05 && mine.interval[1] < 0.15);
    const text = formatRobustness(shift ?? assert.fail());
    assert.match(
      text,
      /^Effective robustness on sketch, a shift of photo \(zero-shot of label, acc1\):\n/,
    );
    assert.match(text, /\nmine +70\.0 % +\d\d\.\d % +\d\d\.\d % +\+10\.0 +\d+\.\d–\d+\.\d\n/);
    assert.match(text, /logit\(shift\) = 0\.80·logit\(reference\) − 0\.50/);
    assert.ok(text.split('\n').every((line) => line.length <= 100));
  });

  it('measures without baselines against the other models of the run, if two of them differ', () => {
    const models = run({ a: onLine(0.3), b: onLine(0.6), c: [0.9, 0.6] });
    const [shift] = suiteRobustness(suite, models);
    const [a, , c] = shift?.models ?? [];
    assert.deepEqual([shift?.baselines, c?.of, a?.of], [[], ['a', 'b'], ['b', 'c']]);
    assert.ok(Math.abs(Number(c?.effective) - (0.6 - onLine(0.9)[1])) < 1e-9);
    const [two] = suiteRobustness(suite, run({ a: onLine(0.3), b: onLine(0.6) }));
    assert.deepEqual(two?.models, []);
    assert.match(
      two.without[0]?.reason ?? '',
      /^One model makes no reference line; give at least two/,
    );
    const [equal] = suiteRobustness(suite, run({ a: [0.5, 0.4], b: [0.5, 0.3], c: [0.5, 0.2] }));
    assert.match(equal?.without[0]?.reason ?? '', /^2 models with equal accuracies make no/);
    assert.match(formatRobustness(equal ?? assert.fail()), /There is no line; name reports/);
  });

  it('takes no model as a baseline of itself', () => {
    const [shift] = suiteRobustness(suite, run({ strong: onLine(0.9) }), [baselines]);
    assert.deepEqual(shift?.models[0]?.of, ['weak', 'middle']);
  });

  it('measures linear probes by their own accuracy, and nothing that one data set lacks', () => {
    const probes = { task: 'linear-probe', metric: 'lp_acc1' };
    const others = run({ a: onLine(0.3), b: onLine(0.6), c: onLine(0.8) }, probes);
    const [shift] = suiteRobustness(suite, others);
    assert.deepEqual(
      [shift?.task, shift?.metric, shift?.models.length],
      ['linear-probe', 'lp_acc1', 3],
    );
    const half = {
      ...others,
      results: others.results.filter(({ dataset }) => dataset === 'sketch'),
    };
    assert.deepEqual(suiteRobustness(suite, half), []);
  });
});

describe('baselines', () => {
  const refused = (message: RegExp) => (error: unknown) =>
    error instanceof BantamError && message.test(error.message);

  it('are read from a report of a suite', async () => {
    const path = join(directory, 'results.json');
    const written = run({ a: onLine(0.3) });
    const models = written.models.map((model) => ({ ...model, directory: 'x' }));
    writeFileSync(path, JSON.stringify({ suite: 'domains', ...written, models }));
    const read = await readBaselines(path);
    assert.deepEqual(read.models, written.models);
    assert.equal(read.results[1]?.metrics.acc1, onLine(0.3)[1]);
    const none = join(directory, 'none.json');
    await assert.rejects(readBaselines(none), refused(/There are no baselines ".*none\.json"/));
    writeFileSync(none, '{"results": [1]}');
    await assert.rejects(
      readBaselines(none),
      refused(/"none\.json" is no report|is no report of a suite/),
    );
  });

  it('are refused where they lack the data sets or a second model, or no data set is a shift', () => {
    const check = (of: Suite, baselines: readonly Baselines[]) => {
      checkBaselines(of, baselines, ['old.json']);
    };
    check(suite, []);
    check(suite, [run({ a: onLine(0.3), b: onLine(0.6) })]);
    const lacking = refused(
      /The baselines "old\.json" hold no two models .* such as "photo" and "sketch"; measure baselines/,
    );
    assert.throws(() => { check(suite, [run({ a: onLine(0.3) })]); }, lacking); // prettier-ignore
    assert.throws(() => { check(suite, [{ models: [], results: [] }]); }, lacking); // prettier-ignore
    const plain = { ...suite, datasets: suite.datasets.slice(0, 1) };
    assert.throws(() => { check(plain, [run({ a: onLine(0.3) })]); }, refused(/no data set with "shiftOf"/)); // prettier-ignore
  });
});
