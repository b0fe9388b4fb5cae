/** A study's plan and results as text. */
import {
  comparisonCells,
  comparisonHead,
  summaryCell,
  type ArmComparison,
  type ArmResult,
  type StudyColumn,
  type StudyPlan,
  type StudyResult,
} from '../study/index.js';
import { formatBytes, formatDuration, formatTable } from './output.js';

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

/** The tables of a study: each grid's arms with their costs and metrics, then comparisons. */
export function formatStudy(result: StudyResult): string {
  const sections = result.grids.flatMap(({ name, baseline }) => {
    const arms = result.arms.filter(({ grid }) => grid === name);
    const comparisons = result.comparisons.filter(({ grid }) => grid === name);
    return arms.length === 0
      ? []
      : [
          `${name}\n${armTable(arms, result.columns)}`,
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
    'Means of the seeds ± half of the 95 % interval by Student’s t; in brackets half of the 95 % interval of sampling the test images. Comparisons: p by the paired t-test, adjusted by Holm’s method over the comparisons of a metric in a grid.',
    tuned.length === 0
      ? 'Learning rates were not tuned.'
      : `Learning rates were tuned by validation with the first seed:\n${rateTable(result)}`,
    ...(result.failures.length === 0 ? [] : [failureList(result)]),
  ].join('\n\n');
}

function armTable(arms: readonly ArmResult[], columns: readonly StudyColumn[]): string {
  const head = ['', 'seeds', 'records', 'epochs', 'samples', 'FLOPs', 'seconds'];
  const rows = arms.map((arm) => [
    arm.name,
    String(arm.rows.length),
    round(arm.records),
    arm.epochs.toPrecision(3),
    round(arm.samples),
    arm.flops.toExponential(2),
    arm.seconds.toPrecision(3),
    ...columns.map((column) => summaryCell(arm.metrics[column.id], column)),
  ]);
  const right = [1, 2, 3, 4, 5, 6, ...columns.map((_, i) => 7 + i)];
  return formatTable([[...head, ...columns.map(({ id }) => id)], ...rows], { right });
}

function comparisonTable(
  comparisons: readonly ArmComparison[],
  columns: readonly StudyColumn[],
): string {
  const rows = columns.flatMap((column) =>
    comparisons
      .filter((one) => one.column === column.id)
      .map((one) => [one.arm, column.id, ...comparisonCells(one, column), one.verdict]),
  );
  const head = ['', 'metric', ...comparisonHead, ''];
  return formatTable([head, ...rows], { right: [2, 3, 4, 5] });
}

function rateTable({ tuned }: StudyResult): string {
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

function failureList({ failures }: StudyResult): string {
  const lines = failures.map(
    ({ grid, arm, seed, message }) => `  ${grid}: ${arm}, seed ${seed}: ${message}`,
  );
  return `Runs that failed\n${lines.join('\n')}`;
}

function round(value: number): string {
  return String(Math.round(value));
}
