import {
  formatInterval,
  formatMetric,
  mainScore,
  metricTables,
  type Calibration,
  type ClassPrecision,
  type SuiteEntry,
  type SuiteReport,
} from '../eval/index.js';
import { markup, type Content, type Markup } from './markup.js';
import { renderPage } from './page.js';
import { reliabilityChart } from './reliability.js';
import { tableMarkup } from './results-section.js';
import { robustnessSection } from './robustness-section.js';

/** Classes and confusions shown of each classification. */
const shownClasses = 8;

/** The results of a suite as one self-contained HTML page. */
export function renderSuiteReport(report: SuiteReport, date: Date): string {
  const { suite, models, protocols } = report;
  return renderPage({
    title: `Evaluation: ${suite}`,
    date,
    facts: markup`<p>Protocols ${protocols.join(', ')}</p>`,
    main: [
      overview(report),
      robustnessSection(report),
      ...models.map(({ name }) => modelSection(report, name)),
      absent(report),
    ],
    footer: null,
  });
}

/** Main metric of each data set, a model a column. */
function overview({ models, results, averages }: SuiteReport): Content {
  const datasets = [...new Set(results.map(({ dataset }) => dataset))];
  const means = [...new Set(averages.map(({ name }) => name))];
  return markup`
<section aria-labelledby="overview">
  <h2 id="overview">Main metrics</h2>
  <p class="lead">95 % intervals are of sampling images alone, not of training again.</p>
  <div class="card scroll"><table>
    <thead><tr><th scope="col">data set</th><th scope="col">metric</th>${models.map(
      ({ name }) => markup`<th scope="col">${name}</th>`,
    )}</tr></thead>
    <tbody>${datasets.map((dataset) => {
      const scores = models.map(({ name: model }) => mainScore(results, { model, dataset }));
      return markup`<tr><th scope="row">${dataset}</th><td>${scores.find((one) => one !== undefined)?.metric ?? ''}</td>${scores.map(
        (score) =>
          markup`<td class="metric">${
            score === undefined
              ? '–'
              : markup`<b>${formatMetric(score.value, 'fraction')}</b><small>${formatInterval(score.entry.intervals?.[score.metric], 'fraction')}</small>`
          }</td>`,
      )}</tr>`;
    })}${means.map(
      (name) =>
        markup`<tr><th scope="row">mean: ${name}</th><td></td>${models.map(({ name: model }) => {
          const average = averages.find((one) => one.model === model && one.name === name);
          return markup`<td class="metric">${
            average === undefined
              ? '–'
              : markup`<b>${formatMetric(average.value, 'fraction')}</b><small>${average.measured} of ${average.of} data sets</small>`
          }</td>`;
        })}</tr>`,
    )}</tbody>
  </table></div>
</section>`;
}

function modelSection({ results }: SuiteReport, model: string): Content {
  const own = results.filter((entry) => entry.model === model);
  return markup`
<section>
  <h2>${model}</h2>
  <div class="tables">${metricTables(own).map(tableMarkup)}</div>
  ${own.map(detailsOf)}
</section>`;
}

/** Calibration, hardest classes, groups and confusions of one classification. */
function detailsOf(entry: SuiteEntry): Content {
  const { dataset, labels = '', calibration, perClass = [], groups = [], confusions = [] } = entry;
  if (entry.classPrecisions !== undefined) return precisionsOf(entry, entry.classPrecisions);
  if (perClass.length === 0) return null;
  const worst = [...perClass].sort((a, b) => a.recall - b.recall).slice(0, shownClasses);
  return markup`
<details class="card"><summary>${dataset}, ${labels}, ${entry.task}: classes, confusions${
    calibration === undefined ? null : ', calibration'
  }</summary>
  ${calibration === undefined ? null : calibrationMarkup(calibration)}
  ${scoreTable('Hardest classes', worst)}
  ${groups.map(({ field, groups: scores }) => scoreTable(`By ${field}`, scores))}
  <table><caption>Confusions that cost the most</caption>
  <tbody>${confusions
    .slice(0, shownClasses)
    .map(
      ({ truth, predicted, count, of }) =>
        markup`<tr><th scope="row">${truth}</th><td>as ${predicted}</td><td class="number">${count} of ${of}</td></tr>`,
    )}</tbody></table>
</details>`;
}

/** The classes of a multi-label classification with the lowest average precision. */
function precisionsOf(
  { dataset, labels = '', task }: SuiteEntry,
  precisions: readonly ClassPrecision[],
): Content {
  const worst = [...precisions]
    .sort((a, b) => a.averagePrecision - b.averagePrecision)
    .slice(0, shownClasses);
  return markup`
<details class="card"><summary>${dataset}, ${labels}, ${task}: classes</summary>
  <table><caption>Classes with the lowest average precision</caption><tbody>${worst.map(
    ({ name, samples, averagePrecision }) =>
      markup`<tr><th scope="row">${name}</th><td class="number">${samples} images</td><td class="number">${formatMetric(averagePrecision, 'fraction')}</td></tr>`,
  )}</tbody></table>
</details>`;
}

function calibrationMarkup(calibration: Calibration): Content {
  const { ece, nll, scale, fitted } = calibration;
  return markup`<p>Expected calibration error ${formatMetric(ece, 'fraction')}, negative log-likelihood
    ${nll.toFixed(3)} at the model's scale ${scale.toFixed(1)}; with temperature
    ${fitted.temperature.toFixed(3)}: ${formatMetric(fitted.ece, 'fraction')} and ${fitted.nll.toFixed(3)}
    on the images that it was not fitted on.</p>${reliabilityChart(calibration.bins)}`;
}

function scoreTable(
  title: string,
  scores: readonly {
    readonly name: string;
    readonly samples: number;
    readonly recall: number;
    readonly interval: readonly [number, number];
  }[],
): Markup {
  return markup`<table><caption>${title}</caption><tbody>${scores.map(
    ({ name, samples, recall, interval }) =>
      markup`<tr><th scope="row">${name}</th><td class="number">${samples} images</td><td class="number">${formatMetric(recall, 'fraction')}</td><td class="number">${formatInterval(interval, 'fraction')}</td></tr>`,
  )}</tbody></table>`;
}

/** Data sets that are not here, and tasks that they do not allow. */
function absent({ missing, refused }: SuiteReport): Content {
  if (missing.length === 0 && refused.length === 0) return null;
  return markup`
<section aria-labelledby="missing">
  <h2 id="missing">Not measured</h2>
  <ul>${missing.map(
    ({ name, reason, get }) =>
      markup`<li><b>${name}</b>: ${reason}${get === undefined ? '' : ` Get ${get}.`}</li>`,
  )}${refused.map(
    ({ model, dataset, task, reason }) =>
      markup`<li><b>${dataset}</b>, ${task}, ${model}: ${reason}</li>`,
  )}</ul>
</section>`;
}
