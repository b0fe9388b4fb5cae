import {
  formatInterval,
  formatMetric,
  metricTables,
  type MetricCell,
  type MetricTable,
} from '../eval/index.js';
import { markup, type Content, type Markup } from './markup.js';
import type { ReportData } from './report-data.js';

/** The metrics of every data set, each beside its chance level and as a bar. */
export function resultsSection({ results }: ReportData): Content {
  if (results.length === 0) return null;
  return markup`
<section aria-labelledby="results">
  <h2 id="results">Evaluation</h2>
  <p class="lead">Small figures are chance levels: the expected score of an untrained model. The mark on
    each bar shows the same.</p>
  <div class="tables">${metricTables(results).map(tableMarkup)}</div>
</section>`;
}

/** A table of metrics: each value, its interval, its chance level and a bar. */
export function tableMarkup({ title, note, columns, rows }: MetricTable): Markup {
  return markup`
<div class="card scroll"><table>
  <caption>${title}${note === undefined ? null : markup`<small>${note}</small>`}</caption>
  <thead><tr>
    <th scope="col">data set</th><th scope="col" class="number">images</th>
    ${columns.map(({ name }) => markup`<th scope="col">${name}</th>`)}
  </tr></thead>
  <tbody>${rows.map(
    ({ dataset, kind, samples, cells }) => markup`
    <tr>
      <th scope="row">${dataset}${kindTag(kind)}</th>
      <td class="number">${samples}</td>
      ${cells.map((cell, at) => metricCell(cell, columns[at]?.kind ?? 'fraction'))}
    </tr>`,
  )}</tbody>
</table></div>`;
}

/** A label with the relation of a data set to the training data. */
export function kindTag(kind: string | undefined): Content {
  if (kind === undefined) return null;
  const look = kind !== 'in-distribution' ? 'tag new' : 'tag';
  return markup`<span class="${look}">${kind}</span>`;
}

function metricCell({ value, chance, interval }: MetricCell, kind: 'fraction' | 'rank'): Markup {
  if (value === null) return markup`<td class="metric">–</td>`;
  const notes = [
    formatInterval(interval, kind),
    chance === null ? '' : `chance ${formatMetric(chance, kind)}`,
  ].filter(Boolean);
  const text = markup`<b>${formatMetric(value, kind)}</b><small>${notes.join('; ')}</small>`;
  if (kind === 'rank') return markup`<td class="metric">${text}</td>`;
  const mark =
    chance === null
      ? null
      : markup`<rect class="chance" x="${percent(chance)}" width="2" height="6"/>`;
  return markup`<td class="metric">${text}<svg class="bar" aria-hidden="true">
    <rect class="track" width="100%" height="6" rx="3"/><rect class="value" width="${percent(value)}" height="6" rx="3"/>${mark}
  </svg></td>`;
}

function percent(fraction: number): string {
  return `${Number((100 * fraction).toFixed(2))}%`;
}
