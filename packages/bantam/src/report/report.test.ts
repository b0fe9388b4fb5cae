import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { tinyModel, writeImages } from '../test-support/tiny-model.js';
import { narrowModel } from '../models/index.js';
import { lineChart } from './chart.js';
import { gatherEvaluation } from './gather.js';
import { escapeHtml, markup } from './markup.js';
import { compact, duration } from './numbers.js';
import { renderReport } from './render-report.js';
import type { ReportData } from './report-data.js';
import { extentOf, ticks } from './numbers.js';
import { smooth, thin } from './series.js';

describe('markup', () => {
  it('escapes every value but markup', () => {
    assert.equal(escapeHtml(`<a href="x">&'`), '&lt;a href=&quot;x&quot;&gt;&amp;&#39;');
    const inner = markup`<b>${'<'}</b>`;
    assert.equal(
      markup`<p title="${'"'}">${inner}${[inner, 3]}${null}</p>`.text,
      '<p title="&quot;"><b>&lt;</b><b>&lt;</b>3</p>',
    );
  });
});

describe('numbers', () => {
  it('are short', () => {
    const values = [0, 7, 950, 12_345, 76_800, 123_456, 5_412_345, 2e9, 0.25, 0.0005, -3.14159];
    const expected = '0 7 950 12.3k 76.8k 123k 5.4M 2B 0.25 5e-4 -3.14';
    assert.equal(values.map(compact).join(' '), expected);
  });

  it('of seconds are read as times', () => {
    const times = [4.4, 60, 312, 3600, 12_000].map(duration);
    assert.deepEqual(times, ['4 s', '1 min', '5 min 12 s', '1 h', '3 h 20 min']);
  });
});

describe('scales', () => {
  it('have round ticks inside of their range', () => {
    assert.deepEqual(ticks([0, 1], 4), [0, 0.25, 0.5, 0.75, 1]);
    assert.deepEqual(ticks([1.87, 5.63], 5), [2, 3, 4, 5]);
    assert.deepEqual(ticks([0, 76_800], 6), [0, 20_000, 40_000, 60_000]);
    assert.deepEqual(ticks([3, 3], 5), [3]);
  });

  it('leave out spikes and what is not finite', () => {
    const values = [...Array.from({ length: 998 }, (_, at) => at), 1e9, NaN];
    assert.deepEqual(extentOf(values, 0.002), [1, 997]);
    assert.equal(extentOf([NaN]), undefined);
  });
});

describe('series', () => {
  const points = Array.from({ length: 1000 }, (_, x) => ({ x, y: Math.sin(x / 20) }));

  it('are smoothed without a pull towards zero', () => {
    const level = smooth(
      [5, 5, NaN, 5].map((y, x) => ({ x, y })),
      2,
    );
    assert.deepEqual(
      level.map(({ x, y }) => [x, Math.round(y * 1e9) / 1e9]),
      [
        [0, 5],
        [1, 5],
        [3, 5],
      ],
    );
    const step = smooth(
      [0, 0, 0, 0, 0, 0, 1].map((y, x) => ({ x, y })),
      1,
    );
    assert.ok(Math.abs((step.at(-1)?.y ?? 0) - 64 / 127) < 1e-12);
  });

  it('are thinned to few points in order that keep ends, highs and lows', () => {
    const few = thin(points, 50);
    assert.ok(few.length <= 200 && few.length >= 100);
    assert.deepEqual(
      few.map(({ x }) => x),
      few.map(({ x }) => x).toSorted((a, b) => a - b),
    );
    assert.deepEqual([few[0], few.at(-1)], [points[0], points.at(-1)]);
    const highest = Math.max(...points.map(({ y }) => y));
    assert.ok(few.some(({ y }) => y === highest));
    assert.equal(thin(points, 500), points);
  });
});

describe('lineChart', () => {
  it('draws each curve, its axes and a reference, with a gap where a value is not finite', () => {
    const points = [1, 2, NaN, 3, 4].map((y, x) => ({ x, y }));
    const svg = lineChart({
      title: 'A & B',
      series: [{ name: 'only', points }],
      xName: 'steps',
      yName: 'loss',
      reference: { name: 'chance', y: 10 },
    }).text;
    assert.match(svg, /aria-label="A &amp; B"/);
    const [, path = ''] = /<path class="main" d="([^"]*)"/.exec(svg) ?? [];
    assert.deepEqual(path.match(/[ML]/g), ['M', 'L', 'M', 'L']);
    for (const text of ['steps', 'loss', 'chance']) assert.ok(svg.includes(`>${text}</text>`));
    assert.doesNotMatch(svg, /NaN|undefined/);
  });

  it('puts the names of its curves and axis above the plot, side by side', () => {
    const series = ['each step', 'smoothed'].map((name) => ({ name, points: [{ x: 1, y: 2 }] }));
    const svg = lineChart({ title: '', series, xName: 'steps', yName: 'contrastive loss' }).text;
    const placed = [...svg.matchAll(/<text(?: class="name")? x="([\d.-]+)" y="(-\d+)"[^>]*>([^<]+)/g)]; // prettier-ignore
    const names = placed.map(([, x, , name = '']) => ({ left: Number(x), name }));
    const sorted = names.toSorted((a, b) => a.left - b.left);
    assert.deepEqual(
      sorted.map(({ name }) => name),
      ['contrastive loss', 'each step', 'smoothed'],
    );
    const [loss = NaN, each = NaN, smoothed = NaN] = sorted.map(({ left }) => left);
    assert.ok(loss + 100 < each - 28 && each + 50 < smoothed - 28, `${loss}, ${each}, ${smoothed}`);
  });

  it('is still a chart without points', () => {
    const svg = lineChart({ title: '', series: [{ name: '', points: [] }], xName: 'x' }).text;
    assert.doesNotMatch(svg, /NaN|Infinity|undefined/);
  });
});

const row = {
  losses: {},
  epoch: 0,
  lr: 1e-3,
  logitScale: 14,
  gradNorm: 1,
  samplesPerSecond: 250,
  dataWait: 0,
};
const report: ReportData = {
  title: 'Run <script>alert(1)</script>',
  date: new Date('2026-01-05T12:00:00Z'),
  run: {
    model: 'ViT',
    parameters: 5_400_000,
    data: 'emoji',
    samplesSeen: 76_800,
    seconds: 300,
    machine: '2 cores',
    batchSize: 256,
    precision: 'bf16',
  },
  metrics: [5.5, 3, 2].map((loss, step) => ({
    ...row,
    step,
    samples: 256 * step,
    seconds: 1,
    loss,
  })),
  results: [],
  searches: [],
  confusions: [],
  next: [{ what: 'Search & find', command: 'bantam search "happy cat"' }],
  licences: [],
};

describe('renderReport', () => {
  it('shows facts, curves and next steps, escaped, and fetches nothing', () => {
    const page = renderReport(report);
    assert.ok(page.startsWith('<!doctype html>'));
    assert.doesNotMatch(page, /<script|<link|@import|https?:\/\//);
    for (const text of ['5.4M', '76.8k', '5 min', '= 5.55', 'Search &amp; find']) {
      assert.ok(page.includes(text), text);
    }
    assert.ok(page.includes('bantam search &quot;happy cat&quot;'));
    assert.doesNotMatch(page, /NaN|undefined|\[object/);
    assert.doesNotMatch(page, /id="(results|searches|confusions)"/);
  });

  it('omits the curves of a run without metrics', () => {
    assert.doesNotMatch(renderReport({ ...report, metrics: [] }), /id="training"/);
  });

  it('shows the curve of validations if there are any', () => {
    const validations = [0.2, 0.3].map((value, i) => ({
      step: i,
      samples: 256 * i,
      progress: i / 2,
      metric: 'acc1',
      value,
      best: true,
    }));
    assert.match(renderReport({ ...report, validations }), /acc1 of the validations/);
    assert.doesNotMatch(renderReport(report), /of the validations/);
  });

  it('shows an evaluation with its images', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'bantam-report-'));
    try {
      await writeImages(folder, { cat: ['red', 'blue'], dog: ['lime', 'gold'] });
      const queries = ['cat', '<dog>'];
      // Which computes in bf16 alone, as models are loaded for inference.
      const narrowed = tinyModel();
      narrowModel(narrowed.model, 'bfloat16');
      const gathered = await gatherEvaluation(narrowed, [`folder:${folder}`], {
        queries,
        hits: 3,
        precision: 'bfloat16',
      });
      assert.deepEqual(
        gathered.searches.map(({ query, strips }) => [
          query,
          strips.map(({ hits }) => hits.length),
        ]),
        [
          ['cat', [3]],
          ['<dog>', [3]],
        ],
      );
      const [wrong] = gathered.confusions;
      assert.ok(wrong !== undefined && wrong.mistaken.length === wrong.count);
      assert.ok(wrong.mistaken.every(({ alt }) => alt.includes(wrong.truth)));
      assert.ok(wrong.lookalikes.every(({ alt }) => alt.includes(wrong.predicted)));
      const page = renderReport({ ...report, ...gathered });
      assert.ok(page.includes('“&lt;dog&gt;”'));
      const images = page.match(/<img [^>]*>/g) ?? [];
      assert.ok(images.length >= 6);
      for (const image of images) {
        assert.match(image, /src="data:image\/png;base64,[^"]+" alt="a photo of a (cat|dog)\."/);
      }
      for (const text of ['Zero-shot classification: label (2 classes)', 'chance 50.0 %']) {
        assert.ok(page.includes(text), text);
      }
      assert.doesNotMatch(page, /NaN|undefined|\[object/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
