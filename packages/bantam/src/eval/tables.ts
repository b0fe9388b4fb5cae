import { mean } from '../base/statistics.js';
import type { Interval } from './statistics/intervals.js';
import type { EvaluationResult } from './tasks/result.js';

/** A value of a table beside what it would be by chance; null where a metric does not apply. */
export interface MetricCell {
  readonly value: number | null;
  readonly chance: number | null;
  /** 95 % interval of the value; absent: it has none. */
  readonly interval?: Interval;
}

export interface MetricColumn {
  readonly name: string;
  /** `fraction`: 0 … 1, more is better. `rank`: a position from 1, less is better. */
  readonly kind: 'fraction' | 'rank';
}

export interface MetricRow {
  readonly dataset: string;
  readonly kind?: NonNullable<EvaluationResult['kind']>;
  readonly samples: number;
  /** In the order of the columns. */
  readonly cells: readonly MetricCell[];
}

/** Results of one task, a data set a row. */
export interface MetricTable {
  readonly title: string;
  /** Caveat for readers. */
  readonly note?: string;
  readonly columns: readonly MetricColumn[];
  readonly rows: readonly MetricRow[];
}

type Shown = readonly (readonly [metric: string, column: MetricColumn])[];

const classification: Shown = [
  ['acc1', { name: 'top-1', kind: 'fraction' }],
  ['acc5', { name: 'top-5', kind: 'fraction' }],
  ['mean_per_class_recall', { name: 'per class', kind: 'fraction' }],
];

const precision: Shown = [['mean_average_precision', { name: 'mAP', kind: 'fraction' }]];

const searches: Shown = [
  ['hit_rate@1', { name: 'first', kind: 'fraction' }],
  ['hit_rate@5', { name: 'first five', kind: 'fraction' }],
  ['hit_rate@10', { name: 'first ten', kind: 'fraction' }],
];

function retrievalColumns(way: 'image' | 'text'): Shown {
  return [
    [`${way}_retrieval_recall@1`, { name: 'R@1', kind: 'fraction' }],
    [`${way}_retrieval_recall@5`, { name: 'R@5', kind: 'fraction' }],
    [`${way}_retrieval_recall@10`, { name: 'R@10', kind: 'fraction' }],
    [`${way}_retrieval_median_rank`, { name: 'median rank', kind: 'rank' }],
  ];
}

/** Results as tables: one for each classification and each way of retrieval, empty ones left out. */
export function metricTables(results: readonly EvaluationResult[]): MetricTable[] {
  const classified = results.filter(({ task }) => task === 'zero-shot');
  const titleOf = (result: EvaluationResult): string =>
    `Zero-shot classification: ${result.labels ?? ''} (${result.classes ?? 0} classes${isMultiLabel(result) ? ', several of an image' : ''})`;
  const retrieved = results.filter(({ task }) => task === 'retrieval');
  return [
    ...[...new Set(classified.map(titleOf))].map((title) => {
      const rows = classified.filter((result) => titleOf(result) === title);
      if (rows.every(isMultiLabel)) return table(title, precision, rows);
      const note = [majorityNote(rows), ...domainNote(rows)].join(' ');
      return { ...table(title, classification, rows), note };
    }),
    ...probeTables(results),
    table('Retrieval of images by caption', retrievalColumns('image'), retrieved),
    table('Retrieval of captions by image', retrievalColumns('text'), retrieved),
    ...searchTables(results.filter(({ task }) => task === 'queries')),
  ].filter(({ rows }) => rows.length > 0);
}

function isMultiLabel({ metrics }: EvaluationResult): boolean {
  return 'mean_average_precision' in metrics;
}

const probeTitles: Readonly<Partial<Record<EvaluationResult['task'], string>>> = {
  'linear-probe': 'Linear probe',
  'few-shot': 'Few-shot classification',
  knn: 'Nearest neighbours',
  associations: 'Associations of words and images',
};

const probeColumns: Readonly<Record<string, string>> = {
  lp_acc1: 'top-1',
  lp_acc5: 'top-5',
  lp_mean_per_class_recall: 'per class',
};

/** A table for each probe of each classification, with its features, splits and settings below. */
function probeTables(results: readonly EvaluationResult[]): MetricTable[] {
  return Object.entries(probeTitles).flatMap(([task, name]) => {
    const own = results.filter((result) => result.task === task);
    const titleOf = ({ labels, classes }: EvaluationResult): string =>
      labels === undefined ? name : `${name}: ${labels} (${String(classes)} classes)`;
    return [...new Set(own.map(titleOf))].map((title) => {
      const rows = own.filter((result) => titleOf(result) === title);
      const metrics = [...new Set(rows.flatMap((row) => Object.keys(row.metrics)))];
      const shown: Shown = metrics
        .filter((metric) => task !== 'linear-probe' || metric in probeColumns)
        .map((metric) => [metric, { name: probeColumns[metric] ?? metric, kind: 'fraction' }]);
      const facts = rows.flatMap(probeNote);
      return { ...table(title, shown, rows), ...(facts.length > 0 && { note: facts.join('\n') }) };
    });
  });
}

function probeNote({ dataset, probe }: EvaluationResult): string[] {
  if (probe === undefined) return [];
  const { layer, normalized, width, source, train, validation, test, c } = probe;
  const { tried = [], leftOut } = probe;
  const unit = normalized ? ', scaled to length 1' : '';
  const parts = [
    `${train} training`,
    ...(validation === undefined ? [] : [`${validation} validation`]),
    `${test} test images (${source})`,
  ];
  const near = neighboursOf(tried, c);
  const chosen = c === undefined ? '' : `; C ${c.toPrecision(3)}${near}`;
  const note = `${dataset}: ${layer} of ${width}${unit}; ${parts.join(', ')}${chosen}.`;
  if (leftOut === undefined) return [note];
  const { name, images, shots } = leftOut;
  return [
    `${note} ${shots.join(' and ')} shots are left out: the class "${name}" has ${images} training images.`,
  ];
}

/** Validation accuracies at the chosen C and beside it. */
function neighboursOf(
  tried: readonly { readonly c: number; readonly accuracy: number }[],
  chosen: number | undefined,
): string {
  const place = tried.findIndex(({ c }) => c === chosen);
  if (place < 0) return '';
  const near = tried
    .slice(Math.max(0, place - 1), place + 2)
    .map(({ c, accuracy }) => `${formatMetric(accuracy, 'fraction')} at ${c.toPrecision(3)}`);
  return ` (validation ${near.join(', ')})`;
}

/** Data sets of one classification are domains of it: the mean, and the one that is worst. */
function domainNote(results: readonly EvaluationResult[]): string[] {
  const scores = results.flatMap(({ dataset, metrics: { acc1 } }) =>
    typeof acc1 === 'number' ? { dataset, acc1 } : [],
  );
  const [first, ...others] = scores;
  if (first === undefined || others.length === 0) return [];
  const overall = mean(scores.map(({ acc1 }) => acc1));
  const worst = others.reduce((low, score) => (score.acc1 < low.acc1 ? score : low), first);
  return [
    `Mean over ${scores.length} data sets ${formatMetric(overall, 'fraction')}, lowest ${formatMetric(worst.acc1, 'fraction')} (${worst.dataset}).`,
  ];
}

/** Searches whose right answers are known, and those that none of the first five images answers. */
function searchTables(results: readonly EvaluationResult[]): MetricTable[] {
  const counts = [...new Set(results.map(({ ranks = [] }) => ranks.length))];
  return counts.map((count) => {
    const rows = results.filter(({ ranks = [] }) => ranks.length === count);
    return {
      ...table(`${count} searches in words: a right answer among`, searches, rows),
      note: missedNote(rows),
    };
  });
}

function missedNote(results: readonly EvaluationResult[]): string {
  const missed = results.map(({ ranks = [] }) =>
    ranks.filter(({ rank }) => rank > 5).map(({ query }) => `“${query}”`),
  );
  const [first = [], ...others] = missed;
  const always = first.filter((query) => others.every((queries) => queries.includes(query)));
  if (always.length === 0) return 'Each search has its answer among the first five somewhere.';
  return `Nowhere answered among the first five: ${always.join(', ')}.`;
}

/** Classes of unequal size make a constant answer look good; the reader should know how good. */
function majorityNote(results: readonly EvaluationResult[]): string {
  const best = Math.max(...results.map(({ majority = 0 }) => majority));
  return `Always answering with the commonest class is right in up to ${formatMetric(best, 'fraction')} (top-1).`;
}

function table(title: string, shown: Shown, results: readonly EvaluationResult[]): MetricTable {
  return {
    title,
    columns: shown.map(([, column]) => column),
    rows: results.map(({ dataset, kind, samples, metrics, chance, intervals = {} }) => ({
      dataset,
      ...(kind !== undefined && { kind }),
      samples,
      cells: shown.map(([metric]) => ({
        value: metrics[metric] ?? null,
        chance: chance[metric] ?? null,
        ...(intervals[metric] !== undefined && { interval: intervals[metric] }),
      })),
    })),
  };
}

/** `12.3 %` for a fraction, `7` for a rank, `–` where there is none. */
export function formatMetric(value: number | null, kind: MetricColumn['kind']): string {
  if (value === null) return '–';
  return kind === 'fraction' ? `${(100 * value).toFixed(1)} %` : String(value);
}

/** `31.2–38.9` of a fraction in percent, `5–9` of a rank; empty where there is none. */
export function formatInterval(interval: Interval | undefined, kind: MetricColumn['kind']): string {
  if (interval === undefined) return '';
  return interval
    .map((bound) => (kind === 'fraction' ? (100 * bound).toFixed(1) : String(bound)))
    .map((bound) => bound.replace('-', '−'))
    .join(interval[0] < 0 ? ' to ' : '–');
}
