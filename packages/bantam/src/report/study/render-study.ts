import { countOf } from '../../base/count-of.js';
import { formatMetric } from '../../eval/index.js';
import {
  comparisonCells,
  comparisonHead,
  summaryCell,
  type ArmComparison,
  type StudyColumn,
  type StudyFit,
  type StudyResult,
  untunedRates,
  type TuneOptions,
} from '../../study/index.js';
import { markup, type Content } from '../markup.js';
import { compact, duration } from '../numbers.js';
import { fact, renderPage } from '../page.js';
import { figuresOf, percent, type Figure } from './figures.js';
import { robustnessSection } from './robustness.js';

export interface StudyPageOptions {
  /** Command that made the study. */
  readonly command: string;
  readonly date: Date;
}

/**
 * A study as one self-contained HTML page: the figures of Scaling (Down) CLIP that its grids allow,
 * retrieval apart, each with its table and comparisons, and the laws that fit.
 */
export function renderStudy(result: StudyResult, { command, date }: StudyPageOptions): string {
  const { study, columns } = result;
  const isRetrieval = ({ task }: StudyColumn): boolean => task === 'retrieval';
  const apart = columns.filter(isRetrieval);
  const others = columns.filter((column) => !isRetrieval(column));
  return renderPage({
    title: study.name,
    date,
    facts: factList(result),
    main: [
      section('Classification', figuresOf(result, others), { result, command }),
      section('Retrieval', figuresOf(result, apart), { result, command }),
      robustnessSection(result),
      fitSection(result.fits),
      rateSection(result),
      remarkSection(result),
      failureSection(result),
      noteSection(command),
    ],
    footer: null,
  });
}

function factList({ study, machine, arms }: StudyResult): Content {
  const runs = new Map(arms.flatMap(({ rows }) => rows.map((row) => [row.run, row] as const)));
  const seconds = [...runs.values()].reduce((sum, row) => sum + row.seconds, 0);
  const { cpu, cores, processes, threads } = machine;
  return markup`<dl class="facts">
    ${fact('Arms', String(arms.length))}
    ${fact('Runs', String(runs.size))}
    ${fact('Seeds', (study.seeds ?? [0, 1, 2]).join(', '))}
    ${fact('Training time', duration(seconds))}
    ${fact('Data', study.data, 'wide')}
    ${fact('Machine', `${cpu}, ${countOf(cores, 'core')}; ${countOf(processes, 'run')} at a time, ${countOf(threads, 'thread')} each`, 'wide')}
  </dl>`;
}

interface SectionContext {
  readonly result: StudyResult;
  readonly command: string;
}

function section(
  title: string,
  figures: readonly Figure[],
  { result, command }: SectionContext,
): Content {
  if (figures.length === 0) return null;
  const id = title.toLowerCase();
  return markup`
<section aria-labelledby="${id}">
  <h2 id="${id}">${title}</h2>
  ${figures.map(
    (figure) => markup`
  <h3>${figure.title}</h3>
  <p class="lead">${figure.lead}</p>
  <div class="card scroll">
    <div class="plots">${figure.plots}</div>
    ${armTable(figure)}
    ${comparisonTable(figure, result)}
    <p><code>${command}</code></p>
  </div>`,
  )}
</section>`;
}

/** The table behind a figure: costs and metrics of each arm. */
function armTable({ arms, columns }: Figure): Content {
  return markup`<table class="dense">
  <thead><tr><th scope="col">arm</th>${[
    'seeds',
    'images',
    'epochs',
    'samples',
    'FLOPs',
    'seconds',
  ].map(
    (name) => markup`<th scope="col" class="number">${name}</th>`,
  )}${columns.map(({ id }) => markup`<th scope="col" class="number">${id}</th>`)}</tr></thead>
  <tbody>${arms.map(
    (arm) =>
      markup`<tr><th scope="row">${arm.name}</th>${[
        String(arm.rows.length),
        compact(Math.round(arm.records)),
        String(Number(arm.epochs.toPrecision(3))),
        compact(Math.round(arm.samples)),
        arm.flops.toExponential(1),
        compact(Number(arm.seconds.toPrecision(3))),
        ...columns.map((column) => summaryCell(arm.metrics[column.id], column)),
      ].map((cell) => markup`<td class="number">${cell}</td>`)}</tr>`,
  )}
  <tr><th scope="row">chance</th><td colspan="6"></td>${columns.map(({ id, lowerIsBetter }) => {
    const chance = arms[0]?.metrics[id]?.chance ?? null;
    return markup`<td class="number">${formatMetric(chance, lowerIsBetter ? 'rank' : 'fraction')}</td>`;
  })}</tr></tbody></table>`;
}

function comparisonTable({ grid, columns }: Figure, { comparisons, grids }: StudyResult): Content {
  const own = comparisons.filter(
    (one) => one.grid === grid && columns.some(({ id }) => id === one.column),
  );
  const baseline = grids.find(({ name }) => name === grid)?.baseline;
  if (own.length === 0 || baseline === undefined) return null;
  return markup`<table class="dense">
  <caption>Compared with ${baseline}, paired by seed</caption>
  <thead><tr><th scope="col">arm</th><th scope="col">metric</th>${comparisonHead.map(
    (name) => markup`<th scope="col" class="number">${name}</th>`,
  )}<th scope="col"></th></tr></thead>
  <tbody>${columns.flatMap((column) =>
    own.filter((one) => one.column === column.id).map((one) => comparisonRow(one, column)),
  )}</tbody></table>`;
}

function comparisonRow(comparison: ArmComparison, column: StudyColumn): Content {
  const cells = comparisonCells(comparison, column);
  return markup`<tr><th scope="row">${comparison.arm}</th><td>${column.id}</td>${cells.map(
    (cell) => markup`<td class="number">${cell}</td>`,
  )}<td>${comparison.verdict}</td></tr>`;
}

function fitSection(fits: readonly StudyFit[]): Content {
  if (fits.length === 0) return null;
  return markup`
<section aria-labelledby="fits">
  <h2 id="fits">Fits</h2>
  <p class="lead">Laws of the error by Huber’s loss on its logarithm. Intervals are 95 % by the bootstrap over arms
    and seeds; bands beyond the measured runs hold a new run with 80 %, if the law holds there.</p>
  <div class="card scroll"><table class="dense">
  <thead><tr><th scope="col">grid</th><th scope="col">metric</th><th scope="col">law</th><th scope="col">parameters</th>
    <th scope="col" class="number">residual</th><th scope="col">beyond</th></tr></thead>
  <tbody>${fits.map(
    ({ grid, series, column, law, formula, parameters, residual, beyond }) => markup`<tr>
    <th scope="row">${grid}${series === '' ? '' : `, ${series}`}</th><td>${column}</td>
    <td>${law}<br><small>${formula}</small></td>
    <td>${parameters.map(
      ({ name, value, interval: [low, high] }) =>
        markup`${name} ${digits(value)} (${digits(low)} to ${digits(high)})<br>`,
    )}</td>
    <td class="number">${percent(residual)}</td>
    <td>${beyond.map(({ at, error, band }) => markup`${at}: error ${percent(error)} (${percent(band[0])} to ${percent(band[1])})<br>`)}</td></tr>`,
  )}</tbody></table></div>
</section>`;
}

function digits(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function rateSection({ tuned, arms, study: { tune } }: StudyResult): Content {
  if (tune === undefined) {
    return markup`
<section aria-labelledby="rates">
  <h2 id="rates">Learning rates</h2>
  <p class="lead">${untunedRates(arms)}</p>
</section>`;
  }
  return markup`
<section aria-labelledby="rates">
  <h2 id="rates">Learning rates</h2>
  <p class="lead">${searchOf(tune)}</p>
  <div class="card scroll"><table class="dense"><tbody>${tuned.map(
    ({ grid, arm, chosen, isAtEnd, tried }) => markup`<tr><th scope="row">${grid}: ${arm}</th>
    <td>${chosen === null ? 'all failed' : String(chosen)}${isAtEnd ? ', at the end of the search' : ''}</td>
    <td>${tried.map(({ lr, value }) => `${lr}: ${value === null ? 'failed' : value.toPrecision(3)}`).join(', ')}</td></tr>`,
  )}</tbody></table></div>
</section>`;
}

/** The search for learning rates in words. */
function searchOf({ lr, data, metric }: TuneOptions): string {
  return `Each arm was trained with ${lr.join(', ')} at its full budget with the first seed; all of its seeds have the rate with the best ${metric} on ${data}.`;
}

function remarkSection({ remarks }: StudyResult): Content {
  if (remarks.length === 0) return null;
  return markup`
<section aria-labelledby="remarks">
  <h2 id="remarks">Remarks on the runs</h2>
  <ul>${remarks.map((remark) => markup`<li>${remark}</li>`)}</ul>
</section>`;
}

function failureSection({ failures }: StudyResult): Content {
  if (failures.length === 0) return null;
  return markup`
<section aria-labelledby="failures">
  <h2 id="failures">Runs that failed</h2>
  <ul>${failures.map(
    ({ grid, arm, seed, message }) => markup`<li>${grid}: ${arm}, seed ${seed}: ${message}</li>`,
  )}</ul>
</section>`;
}

function noteSection(command: string): Content {
  return markup`
<section aria-labelledby="reading">
  <h2 id="reading">How to read this</h2>
  <p>Numbers are means over the seeds ± half of the 95 % interval by Student’s t; in brackets half of the 95 %
    interval of sampling the test images, which the seeds have in common. With two
    seeds t is 12.7, with three 4.3: an interval of two seeds says little. Bars in the figures are the intervals of the
    seeds, cut off where the metric ends: at 0 and 100 %, ranks at 1. Comparisons are paired by seed: seeds share initial weights, order of the data and subsets. p is that of the
    paired t-test, and the adjusted one is by Holm’s method over the comparisons of a metric in a grid; a difference is
    called “not distinguishable” unless it is below 0.05.</p>
  <p>The page was made by <code>${command}</code>.</p>
</section>`;
}
