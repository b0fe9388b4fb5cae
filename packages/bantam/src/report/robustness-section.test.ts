import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { logit, type ShiftRobustness, type SuiteReport } from '../eval/index.js';
import { logitScatter, type ScatterPoint } from './logit-scatter.js';
import { renderSuiteReport } from './suite-report.js';

const line = { slope: 0.8, intercept: -0.5 };
const shift: ShiftRobustness = {
  ...{ dataset: 'sketch', shiftOf: 'photo', task: 'zero-shot', labels: 'label', metric: 'acc1' },
  models: [
    {
      ...{ model: 'mine <1>', reference: 0.7, shifted: 0.6, line, of: ['a', 'b'] },
      ...{ predicted: 0.55, effective: 0.05, interval: [0.01, 0.09] },
    },
  ],
  baselines: [
    { name: 'a', reference: 0.3, shifted: 0.2 },
    { name: 'b', reference: 1, shifted: 0 },
  ],
  spread: null,
  without: [{ model: 'other', reason: 'One model makes no reference line.' }],
};
const report: SuiteReport = {
  ...{ suite: 'domains', protocols: ['openclip'], models: [], results: [], averages: [] },
  ...{ robustness: [shift], missing: [], refused: [], reused: 0, seconds: 1 },
};

describe('the page of a suite', () => {
  it('has effective robustness with its interval, its line and models without one', () => {
    const page = renderSuiteReport(report, new Date(0));
    for (const text of [
      'sketch, a shift of photo',
      '+5.0',
      '1.0–9.0',
      'mine &lt;1&gt;',
      'no reference line',
    ]) {
      assert.ok(page.includes(text), text);
    }
    assert.ok(page.includes('logit(shift) = 0.80·logit(reference) − 0.50'));
    assert.doesNotMatch(page, /NaN|undefined|\[object|Infinity/);
    assert.doesNotMatch(renderSuiteReport({ ...report, robustness: [] }, new Date(0)), /Effective/);
  });
});

describe('logitScatter', () => {
  const points: ScatterPoint[] = [
    { name: 'a', x: 0.1, y: 0.5, look: 'main' },
    { name: 'b', x: 0.9, y: 0.02, look: 'faint' },
  ];
  const chart = logitScatter({ title: 't', points, lines: [line], xName: 'x', yName: 'y' }).text;
  const numbers = (pattern: RegExp): number[][] =>
    [...chart.matchAll(pattern)].map(([, ...found]) => found.map(Number));

  it('puts points and line on axes of ln(p/(1−p)) that hold all of them', () => {
    // From 2 to 90 %.
    const scale = 360 / (logit(0.9) - logit(0.02));
    const toX = (p: number): number => scale * (logit(p) - logit(0.02));
    const circles = numbers(/<circle class="[^"]*" cx="([\d.]+)" cy="([\d.]+)"/g);
    for (const [i, { x, y }] of points.toReversed().entries()) {
      const [cx = NaN, cy = NaN] = circles[i] ?? [];
      assert.ok(Math.abs(cx - toX(x)) < 0.1 && Math.abs(cy - (360 - toX(y))) < 0.1);
    }
    const [[y1 = NaN, y2 = NaN] = []] = numbers(
      /class="main" x1="0" y1="([-\d.]+)" x2="360" y2="([-\d.]+)"/g,
    );
    const onLine = (p: number): number => 360 - scale * (0.8 * logit(p) - 0.5 - logit(0.02));
    assert.ok(Math.abs(y1 - onLine(0.02)) < 0.1 && Math.abs(y2 - onLine(0.9)) < 0.1);
    assert.match(chart, />2 %</);
    assert.match(chart, />90 %</);
  });

  it('puts no name upon another', () => {
    const alike = ['a', 'b', 'c'].map((name) => ({ name, x: 0.5, y: 0.5, look: 'main' as const }));
    const names = logitScatter({
      title: 't',
      points: alike,
      lines: [],
      xName: 'x',
      yName: 'y',
    }).text;
    const heights = [...names.matchAll(/point-name" x="[\d.]+" y="([\d.]+)"/g)].map(([, y]) =>
      Number(y),
    );
    assert.equal(heights.length, 3);
    assert.ok(heights.every((y, i) => i === 0 || y - (heights[i - 1] ?? NaN) >= 13));
  });

  it('keeps accuracies of 0 and 1 at the ends of the axes', () => {
    const edges = logitScatter({
      ...{ title: 't', lines: [], xName: 'x', yName: 'y' },
      points: [{ name: 'a', x: 1, y: 0, look: 'main' }],
    }).text;
    assert.match(edges, /<circle class="point-main" cx="360" cy="360"/);
  });
});
