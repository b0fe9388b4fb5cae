import { at } from '../base/at.js';
import type { EvaluationResult } from './tasks/result.js';

/** A value of a table beside what it would be by chance; null where a metric does not apply. */
export interface MetricCell {
  readonly value: number | null;
  readonly chance: number | null;
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
  const titleOf = ({ labels = '', classes = 0 }: EvaluationResult): string =>
    `Zero-shot classification: ${labels} (${classes} classes)`;
  const retrieved = results.filter(({ task }) => task === 'retrieval');
  return [
    ...[...new Set(classified.map(titleOf))].map((title) => {
      const rows = classified.filter((result) => titleOf(result) === title);
      return { ...table(title, classification, rows), note: majorityNote(rows) };
    }),
    table('Retrieval of images by caption', retrievalColumns('image'), retrieved),
    table('Retrieval of captions by image', retrievalColumns('text'), retrieved),
    ...searchTables(results.filter(({ task }) => task === 'queries')),
  ].filter(({ rows }) => rows.length > 0);
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
    rows: results.map(({ dataset, kind, samples, metrics, chance }) => ({
      dataset,
      ...(kind !== undefined && { kind }),
      samples,
      cells: shown.map(([metric]) => ({
        value: metrics[metric] ?? null,
        chance: chance[metric] ?? null,
      })),
    })),
  };
}

/** `12.3 %` for a fraction, `7` for a rank, `–` where there is none. */
export function formatMetric(value: number | null, kind: MetricColumn['kind']): string {
  if (value === null) return '–';
  return kind === 'fraction' ? `${(100 * value).toFixed(1)} %` : String(value);
}

/** Results as aligned text for a terminal: each value, and beside it what chance would give. */
export function formatTable(results: readonly EvaluationResult[]): string {
  return metricTables(results)
    .map(({ title, note, columns, rows }) => {
      const head = ['', 'images', ...columns.flatMap(({ name }) => [name, 'chance'])];
      const body = rows.map(({ dataset, samples, cells }) => [
        dataset,
        String(samples),
        ...cells.flatMap(({ value, chance }, column) => {
          const { kind } = at(columns, column);
          return [formatMetric(value, kind), formatMetric(chance, kind)];
        }),
      ]);
      return [title, align([head, ...body]), ...(note === undefined ? [] : [note])].join('\n');
    })
    .join('\n\n');
}

/** Pads cells to columns: the first to the left, the others to the right. */
function align(rows: readonly (readonly string[])[]): string {
  const [head = []] = rows;
  const widths = head.map((_, column) => Math.max(...rows.map((row) => at(row, column).length)));
  return rows
    .map((row) =>
      row
        .map((cell, column) =>
          column === 0 ? cell.padEnd(at(widths, column)) : cell.padStart(at(widths, column)),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
