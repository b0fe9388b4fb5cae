import {
  describeSummary,
  summarizeValidations,
  type MetricsRow,
  type ValidationRow,
} from '../train/index.js';
import { lineChart, type LineChartOptions } from './chart.js';
import { markup, type Content, type Markup } from './markup.js';
import { compact } from './numbers.js';
import type { ReportData } from './report-data.js';
import { smooth, type Point } from './series.js';

/** Half-life of the smoothed curve as a fraction of the run. */
const smoothing = 1 / 60;

const small = { width: 270, height: 170, xName: 'samples seen' } as const;

/** Curves of training: the loss, large, and the quantities that explain it, small. */
export function trainingSection({ metrics, validations = [], run }: ReportData): Content {
  if (metrics.length < 2) return null;
  const curve = (value: (row: MetricsRow) => number): Point[] =>
    metrics.map((row) => ({ x: row.samples, y: value(row) }));
  const loss = curve((row) => row.loss);
  const halfLife = Math.max(1, metrics.length * smoothing);
  const first = smooth(loss, halfLife).at(-1);
  const chance = Math.log(run.batchSize);
  const charts: (LineChartOptions & { heading: string })[] = [
    ...validationChart(validations),
    {
      ...small,
      heading: 'Learning rate',
      title: 'Learning rate by samples seen',
      series: [{ name: 'learning rate', points: curve((row) => row.lr) }],
      fromZero: true,
    },
    {
      ...small,
      heading: 'Samples per second',
      title: 'Samples per second by samples seen',
      series: [
        {
          name: 'samples per second',
          points: smooth(
            curve((row) => row.samplesPerSecond),
            halfLife,
          ),
        },
      ],
      fromZero: true,
    },
    {
      ...small,
      heading: 'Waiting for data',
      title: 'Fraction of the time spent waiting for data, by samples seen',
      series: [
        {
          name: 'waiting',
          points: smooth(
            curve((row) => 100 * row.dataWait),
            halfLife,
          ),
        },
      ],
      formatY: (value) => `${compact(value)} %`,
      fromZero: true,
    },
    {
      ...small,
      heading: 'Logit scale',
      title: 'Learned multiplier of the cosine similarities by samples seen',
      series: [{ name: 'logit scale', points: curve((row) => row.logitScale) }],
    },
  ];
  return markup`
<section aria-labelledby="training">
  <h2 id="training">Training</h2>
  <p class="lead">The contrastive loss matches, in every batch of ${run.batchSize}, captions
    to images. Chance is ln ${run.batchSize} = ${chance.toFixed(2)}; training ended at
    ${first === undefined ? '–' : first.y.toFixed(2)}.</p>
  ${validationSentence(validations)}
  <div class="card scroll">${lossChart(loss, halfLife, chance)}</div>
  <div class="charts">${charts.map(
    ({ heading, ...options }) =>
      markup`<div class="card"><h3>${heading}</h3>${lineChart(options)}</div>`,
  )}</div>
</section>`;
}

/** The best validation and the loss since, in a sentence; none with fewer than two validations. */
function validationSentence(validations: readonly ValidationRow[]): Content {
  const summary = validations.length < 2 ? null : summaryOf(validations);
  return summary === null ? null : markup`<p class="lead">${describeSummary(summary)}</p>`;
}

function summaryOf(validations: readonly ValidationRow[]) {
  const lowerIsBetter = validations[0]?.metric.endsWith('median_rank') === true;
  return summarizeValidations(validations, { lowerIsBetter });
}

/** The curve of validations, if there are two or more. */
function validationChart(
  validations: readonly ValidationRow[],
): (LineChartOptions & { heading: string })[] {
  const metric = validations[0]?.metric;
  if (metric === undefined || validations.length < 2) return [];
  const points = validations.map(({ samples, value }) => ({ x: samples, y: value }));
  const best = summaryOf(validations)?.best;
  return [
    {
      ...small,
      heading: 'Validation',
      title: `${metric} of the validations by samples seen`,
      series: [{ name: metric, points }],
      reference: best === undefined ? undefined : { name: 'best', y: best.value },
    },
  ];
}

function lossChart(points: readonly Point[], halfLife: number, chance: number): Markup {
  return lineChart({
    title: 'Training loss by samples seen, each step and smoothed',
    series: [
      { name: 'each step', points, look: 'faint' },
      { name: 'smoothed', points: smooth(points, halfLife) },
    ],
    xName: 'samples seen',
    yName: 'contrastive loss',
    reference: { name: 'chance', y: chance },
    width: 880,
    height: 320,
  });
}
