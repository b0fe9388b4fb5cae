/** A study's plan and results as text. */
import {
  comparisonCells,
  comparisonHead,
  summaryCell,
  untunedRates,
  type ArmComparison,
  type ArmResult,
  type StudyColumn,
  type StudyPlan,
  type StudyResult,
} from '../study/index.js';
import { formatBytes } from '../base/format-bytes.js';
import { formatDuration, formatTable } from './output.js';

/** Columns that every terminal has. */
const terminalColumns = 80;

/** The runs of a study with planned time and memory. */
export function formatStudyPlan({ runs, seconds, bytes, processes, threads }: StudyPlan): string {
  const rows = runs.map((run) => [
    run.grid,
    run.arm,
    String(run.seed),
    `${run.lr}${run.isTrial ? ', a try' : ''}`,
    String(run.records),
    run.samples === null ? '–' : String(run.samples),
    run.flops === null ? '–' : run.flops.toExponential(2),
    run.isDone ? 'done' : run.seconds === null ? 'does not fit' : formatDuration(run.seconds),
    formatBytes(run.bytes),
  ]);
  const head = ['grid', 'arm', 'seed', 'lr', 'records', 'samples', 'FLOPs', 'time', 'memory'];
  const left = runs.filter(({ isDone }) => !isDone).length;
  const at = processes === 1 ? 'one at a time' : `${processes} at a time`;
  return [
    formatTable([head, ...rows], { right: [2, 4, 5, 6, 7, 8] }),
    '',
    `${left} of ${runs.length} runs to do, ${at} with ${threads} ${threads === 1 ? 'thread' : 'threads'} each: about ${formatDuration(seconds)} of training and ${formatBytes(bytes)} of memory.`,
    'Waiting for data, evaluation and saving are not included.',
  ].join('\n');
}

/** Parts of a study that are printed. */
type ShownStudy = Pick<
  StudyResult,
  'grids' | 'arms' | 'columns' | 'comparisons' | 'tuned' | 'failures' | 'remarks'
>;

/** The tables of a study: each grid's arms with their costs and metrics, then comparisons. */
export function formatStudy(result: ShownStudy): string {
  const sections = result.grids.flatMap(({ name, baseline }) => {
    const arms = result.arms.filter(({ grid }) => grid === name);
    const comparisons = result.comparisons.filter(({ grid }) => grid === name);
    return arms.length === 0
      ? []
      : [
          `${name}\n${armTables(arms, result.columns)}`,
          ...(comparisons.length === 0
            ? []
            : [
                `Compared with ${baseline}, paired by seed\n${comparisonTable(comparisons, result.columns)}`,
              ]),
        ];
  });
  const { tuned } = result;
  return [
    ...sections,
    [
      'Means of the seeds ± half of the 95 % interval by Student’s t; in brackets half',
      'of the 95 % interval of sampling the test images. With two seeds t is 12.7, with',
      'three 4.3: an interval of two seeds says little. Comparisons: p of the paired',
      't-test, adjusted by Holm’s method over the comparisons of a metric in a grid.',
    ].join('\n'),
    tuned.length === 0
      ? untunedRates(result.arms)
      : `Learning rates were tuned by validation with the first seed:\n${rateTable(result)}`,
    ...(result.remarks.length === 0 ? [] : [result.remarks.join('\n')]),
    ...(result.failures.length === 0 ? [] : [failureList(result)]),
  ].join('\n\n');
}

/** Costs of the arms, then a table of each data set that fits a terminal's columns. */
function armTables(arms: readonly ArmResult[], columns: readonly StudyColumn[]): string {
  const head = ['', 'seeds', 'records', 'epochs', 'samples', 'FLOPs', 'seconds'];
  const costs = arms.map((arm) => [
    arm.name,
    String(arm.rows.length),
    round(arm.records),
    arm.epochs.toPrecision(3),
    round(arm.samples),
    arm.flops.toExponential(2),
    arm.seconds.toPrecision(3),
  ]);
  const datasets = [...new Set(columns.map(({ dataset }) => dataset))].map((dataset) =>
    metricTables(
      arms,
      dataset,
      columns.filter((column) => column.dataset === dataset),
    ),
  );
  return [formatTable([head, ...costs], { right: [1, 2, 3, 4, 5, 6] }), ...datasets].join('\n\n');
}

/** As many metrics side by side as fit, the others below. */
function metricTables(
  arms: readonly ArmResult[],
  dataset: string,
  columns: readonly StudyColumn[],
): string {
  const tableOf = (part: readonly StudyColumn[]): string =>
    formatTable(
      [
        [dataset, ...part.map(({ metric }) => metric)],
        ...arms.map(({ name, metrics }) => [
          name,
          ...part.map((column) => summaryCell(metrics[column.id], column)),
        ]),
      ],
      { right: part.map((_, i) => i + 1) },
    );
  const tables: string[] = [];
  let part: StudyColumn[] = [];
  for (const column of columns) {
    const longer = [...part, column];
    const isTooWide = tableOf(longer)
      .split('\n')
      .some((line) => line.length > terminalColumns);
    if (isTooWide && part.length > 0) tables.push(tableOf(part));
    part = isTooWide ? [column] : longer;
  }
  return [...tables, tableOf(part)].join('\n');
}

/** The arms below the metric in which they are compared. */
function comparisonTable(
  comparisons: readonly ArmComparison[],
  columns: readonly StudyColumn[],
): string {
  const rows = columns.flatMap((column) => {
    const own = comparisons.filter((one) => one.column === column.id);
    return own.length === 0
      ? []
      : [
          [column.id],
          ...own.map((one) => {
            const [difference, interval, , adjusted] = comparisonCells(one, column);
            return [`  ${one.arm}`, difference, interval, adjusted, one.verdict];
          }),
        ];
  });
  const [difference, interval, , adjusted] = comparisonHead;
  return formatTable([['', difference, interval, adjusted, ''], ...rows], { right: [1, 2, 3] });
}

function rateTable({ tuned }: ShownStudy): string {
  const rows = tuned.map(({ grid, arm, chosen, isAtEnd, tried }) => [
    grid,
    arm,
    chosen === null ? '–' : `${chosen}${isAtEnd ? ', at the end of the search' : ''}`,
    tried
      .map(({ lr, value }) => `${lr}: ${value === null ? 'failed' : value.toPrecision(3)}`)
      .join(', '),
  ]);
  return formatTable([['grid', 'arm', 'chosen', 'tried'], ...rows]);
}

function failureList({ failures }: ShownStudy): string {
  const lines = failures.map(
    ({ grid, arm, seed, message }) => `  ${grid}: ${arm}, seed ${seed}: ${message}`,
  );
  return `Runs that failed\n${lines.join('\n')}`;
}

function round(value: number): string {
  return String(Math.round(value));
}
