import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from '../../base/at.js';
import { gridsOf, type Arm } from '../../study/config/axes.js';
import { columnsOf } from '../../study/config/metrics.js';
import { summarize, type StudyRow } from '../../study/results.js';
import type { StudyOptions } from '../../study/index.js';
import { fitStudy } from '../../study/fits/fit-study.js';
import { effectiveSamples } from '../../study/fits/laws.js';
import { renderStudy } from './render-study.js';

const study: StudyOptions = {
  name: 'Repeats <and> models',
  data: 'csv:pairs.csv',
  seeds: [0, 1, 2],
  grids: [
    { name: 'repeats', axes: { quantity: [1, 0.5, 0.25] }, epochs: [1, 2, 4] },
    { name: 'models', axes: { model: ['ViT-Nano-16-64', 'Mixer-Nano-16-64'] }, budget: ['1ksamples', '4ksamples'] }, // prettier-ignore
    { name: 'strategies', axes: { strategy: ['clip', 'slip'] }, budget: ['4ksamples'] },
  ],
  measure: [
    { name: 'photos', data: 'a', kind: 'in-distribution', metrics: ['acc1', 'image_retrieval_median_rank'] }, // prettier-ignore
    { name: 'sketches', data: 'b', kind: 'out-of-distribution', metrics: ['acc1'] },
  ],
};

const repeats = 3;

/** A run whose error follows the law of repeats, a little above it or below by its seed. */
function rowOf(arm: Arm, seed: number): StudyRow {
  const unique = 1000 * arm.quantity;
  const samples =
    'epochs' in arm.cost ? unique * arm.cost.epochs : Number(arm.values.budget?.number);
  const seen = effectiveSamples({ unique, samples }, repeats);
  const gain = arm.name.startsWith('slip') ? 0.1 : 0;
  const error = (0.2 + 0.5 * (seen / 1000 + 0.3) ** -0.6 - gain) * (1 + 0.004 * (seed - 1));
  const photos = { value: 1 - error, chance: 0.1, interval: [0.98 - error, 1.02 - error] } as const;
  return {
    seed,
    run: `runs/${arm.name}-${seed}`,
    records: unique,
    epochs: samples / unique,
    samples,
    flops: 1e9 * samples,
    seconds: samples / 100,
    lr: 1e-3,
    incidents: { broken: 0, skipped: 0, stoppedEarly: false, unmeasured: [] },
    metrics: {
      'photos, acc1': photos,
      'photos, image_retrieval_median_rank': { value: Math.round(20 * error) },
      'sketches, acc1': { value: 0.6 * photos.value, chance: 0.1 },
    },
  };
}

const grids = gridsOf(study);
const seeds = [0, 1, 2];
const arms = grids.flatMap((grid) => grid.arms);
const failed = at(arms, -1);
const summary = summarize({
  study,
  grids,
  columns: columnsOf(study),
  rows: new Map(
    arms.map((arm) => [arm, seeds.filter((seed) => arm !== failed || seed < 2).map((seed) => rowOf(arm, seed))]), // prettier-ignore
  ),
  tuned: [],
  failures: [{ grid: 'strategies', arm: 'slip', seed: 2, message: 'It ended.' }],
  processes: 2,
  threads: 1,
});
const result = { ...summary, fits: fitStudy(summary) };

describe('summarize', () => {
  it('has means with intervals by Student’s t, and sampling errors beside them', () => {
    const { metrics, samples } = at(result.arms, 0);
    const summary = metrics['photos, acc1'] ?? assert.fail('no summary');
    const error = 0.2 + 0.5 * 1.3 ** -0.6;
    assert.ok(Math.abs(summary.mean - (1 - error)) < 1e-12);
    const [low = 0, high = 0] = summary.interval ?? [];
    const half = (4.302652729749462 * 0.004 * error) / Math.sqrt(3);
    assert.ok(Math.abs((high - low) / 2 - half) < 1e-12);
    assert.ok(Math.abs((summary.samplingError ?? 0) - 0.02) < 1e-12);
    assert.equal(summary.chance, 0.1);
    assert.equal(samples, 1000);
  });

  it('compares every arm with its grid’s baseline, by the seeds that both have', () => {
    const slip = result.comparisons.filter(({ arm }) => arm === 'slip');
    assert.deepEqual(
      slip.map(({ column, pairs, verdict, baseline }) => [column, pairs, verdict, baseline]),
      [
        ['photos, acc1', 2, 'better', 'clip'],
        ['photos, image_retrieval_median_rank', 2, 'better', 'clip'],
        ['sketches, acc1', 2, 'better', 'clip'],
      ],
    );
    // Nine arms, of which all the data with as many epochs are the baselines.
    const repeated = result.comparisons.filter(({ grid, column }) => grid === 'repeats' && column === 'photos, acc1'); // prettier-ignore
    assert.equal(repeated.length, 6);
    assert.ok(repeated.every(({ pValue, adjusted }) => Number(adjusted) >= Number(pValue)));
  });
});

describe('fitStudy', () => {
  it('finds the repeats that made the errors, and lets too few arms alone', () => {
    const { fits } = result;
    assert.deepEqual([...new Set(fits.map(({ grid }) => grid))], ['repeats']);
    const own = fits.find(({ law, column }) => law === 'effective samples' && column === 'photos, acc1'); // prettier-ignore
    const found = own?.parameters.find(({ name }) => name === 'R*');
    const [low = 0, high = 0] = found?.interval ?? [];
    assert.ok(low < repeats && repeats < high, `${low} to ${high}`);
    assert.ok(Number(own?.residual) < 0.01);
    assert.equal(own?.beyond.length, 2);
  });

  it('has a curve with its band through the arms of each quantity', () => {
    const own = result.fits.find(({ law, column }) => law === 'effective samples' && column === 'photos, acc1'); // prettier-ignore
    const curves = own?.curves ?? [];
    assert.deepEqual(
      curves.map(({ line }) => line),
      ['100 %', '50 %', '25 %'],
    );
    const [, half] = curves;
    const [first, last] = [half?.points.at(0), half?.points.at(-1)];
    const ends = [first, last].map((point) => [point?.samples, point?.epochs]);
    const whole = ends.map((pair) => pair.map((value) => Math.round(Number(value))));
    assert.deepEqual(whole, [[500, 1], [2000, 4]]); // prettier-ignore
    for (const { samples = NaN, error, band } of half?.points ?? []) {
      const seen = effectiveSamples({ unique: 500, samples }, repeats);
      const expected = 0.2 + 0.5 * (seen / 1000 + 0.3) ** -0.6;
      assert.ok(Math.abs(error / expected - 1) < 0.01, `${error} at ${samples}, not ${expected}`);
      assert.ok(band[0] < expected && expected < band[1], `${band.join(' to ')}: ${expected}`);
    }
  });
});

describe('renderStudy', () => {
  const page = renderStudy(result, {
    command: 'bantam study study.json --out studies/repeats',
    date: new Date(0),
  });

  it('has the figures of every grid, retrieval apart, and the line of effective robustness', () => {
    const titles = [...page.matchAll(/<h([23])[^>]*>([^<]+)/g)].map(([, , title]) => title);
    assert.deepEqual(titles, [
      'Classification',
      'repeats',
      'models',
      'strategies',
      'Retrieval',
      'repeats',
      'models',
      'strategies',
      'In and out of distribution',
      'Fits',
      'Learning rates',
      'Runs that failed',
      'How to read this',
    ]);
    const plots = [...page.matchAll(/aria-label="([^"]+)"/g)].map(([, label]) => label);
    assert.ok(plots.includes('photos, acc1 by epochs') && plots.includes('photos, acc1 by FLOPs'));
    assert.ok(plots.includes('photos, acc1 of each arm with 95 % intervals'));
    assert.ok(plots.includes('sketches, acc1 by photos, acc1'));
  });

  it('draws the closest law with its band through the points of a figure', () => {
    // Three quantities by epochs and by samples, of two accuracies.
    assert.equal([...page.matchAll(/class="band"/g)].length, 3 * 2 * 2);
    assert.match(
      page,
      /Curves are the law “[^”]+”, shaded the band that holds a new run with 80 %\./,
    );
  });

  it('puts the name of an axis above it, where it runs over no label', () => {
    assert.match(page, /<text class="name" x="-50" y="-20">error: photos, acc1</);
    assert.doesNotMatch(page, /rotate[^>]*>error: /);
  });

  it('draws no interval beyond 0 and 100 %, or below rank 1', () => {
    const wide = result.arms.map((arm) => ({
      ...arm,
      metrics: Object.fromEntries(
        Object.entries(arm.metrics).map(([id, summary]) => [id, { ...summary, interval: [-20, 20] as const }]), // prettier-ignore
      ),
    }));
    const drawn = renderStudy({ ...result, arms: wide }, { command: '', date: new Date(0) });
    const labels = [...drawn.matchAll(/<text class="(?:end|middle)"[^>]*>([^<]+)</g)].map(([, label = '']) => label); // prettier-ignore
    const percents = labels.filter((label) => label.endsWith(' %')).map((label) => parseFloat(label)); // prettier-ignore
    assert.ok(percents.length > 20);
    assert.ok(Math.min(...percents) >= 0 && Math.max(...percents) <= 100, percents.join());
    assert.deepEqual(labels.filter((label) => label.startsWith('-')), []); // prettier-ignore
  });

  it('says that learning rates are not tuned, or by which search', () => {
    assert.match(page, /Learning rates as in the file: not tuned \(peak 0\.001\)\./);
    const tune = { lr: [3e-4, 1e-3], data: 'csv:val.csv', metric: 'acc1' };
    const tried = [{ lr: 3e-4, value: 0.4 }, { lr: 1e-3, value: 0.5 }]; // prettier-ignore
    const tuned = [{ grid: 'models', arm: 'a', chosen: 1e-3, isAtEnd: true, tried }];
    const options = { command: 'bantam study', date: new Date(0) };
    const searched = renderStudy({ ...result, study: { ...study, tune }, tuned }, options);
    assert.match(searched, /trained with 0\.0003, 0\.001 .* with the best acc1 on csv:val\.csv/);
    assert.match(searched, /0\.001, at the end of the search/);
    assert.doesNotMatch(searched, /not tuned/);
  });

  it('is self-contained, escapes names, and has no coordinate that is not a number', () => {
    assert.match(page, /<title>Repeats &lt;and&gt; models<\/title>/);
    assert.doesNotMatch(page, /NaN|Infinity|undefined|https?:\/\/(?!www\.w3)/);
    assert.match(page, /bantam study study\.json --out studies\/repeats/);
    assert.match(page, /not distinguishable/);
  });
});
