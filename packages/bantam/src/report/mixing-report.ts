import { formatInterval, formatMetric, type MixingCurve, type MixingPoint } from '../eval/index.js';
import { lineChart } from './chart.js';
import { frontierChart, type FrontierPoint } from './frontier-chart.js';
import { markup, type Content } from './markup.js';
import { fact, renderPage } from './page.js';

/** WiSE-FT's curve as one self-contained HTML page: own data against other data, by the mixing factor. */
export function renderMixingCurve(curve: MixingCurve, date: Date): string {
  const { from, to, best, rule } = curve;
  return renderPage({
    title: 'Between the old and the new model',
    date,
    facts: markup`<dl class="facts">
    ${fact('Best factor', String(best))}
    ${fact('alpha 0: before fine-tuning', from, 'wide')}
    ${fact('alpha 1: fine-tuned', to, 'wide')}
  </dl>`,
    main: [figure(curve), table(curve), rulePart(rule)],
    footer: null,
  });
}

/** Own against other data; without other data, own data by the factor. */
function figure({ points, best, data }: MixingCurve): Content {
  const withOthers = points.flatMap((point) =>
    point.others === null ? [] : [{ ...point, others: point.others }],
  );
  const byFactor = lineChart({
    title: 'Values by the mixing factor',
    series: [
      { name: 'own data', points: points.map(({ alpha, own }) => ({ x: alpha, y: 100 * own })) },
      ...(withOthers.length === 0
        ? []
        : [
            {
              name: 'other data',
              points: withOthers.map(({ alpha, others }) => ({ x: alpha, y: 100 * others })),
              look: 'faint' as const,
            },
          ]),
    ],
    xName: 'mixing factor alpha',
    formatY: (value) => `${Number(value.toFixed(2))} %`,
  });
  const count = (role: string) => data.filter((one) => one.role === role).length;
  const frontier =
    withOthers.length === 0
      ? null
      : markup`<div class="card scroll">${frontierChart({
          title: 'Value on own data against value on other data, by the mixing factor',
          points: withOthers.map(({ alpha, own, others }) => ({
            x: own,
            y: others,
            ...labelOf(alpha, best, points),
          })),
          xName: `own data${meanOf(count('own'))}`,
          yName: `other data${meanOf(count('other'))}`,
        })}</div>`;
  return markup`
<section aria-labelledby="curve">
  <h2 id="curve">The curve</h2>
  <p class="lead">Each point is a model with the weights (1 − alpha) · before + alpha · fine-tuned.</p>
  ${frontier}
  <div class="card scroll">${byFactor}</div>
</section>`;
}

function meanOf(count: number): string {
  return count > 1 ? `, mean of ${count} sets` : '';
}

function labelOf(
  alpha: number,
  best: number,
  points: readonly MixingPoint[],
): Pick<FrontierPoint, 'label' | 'look'> {
  if (alpha === best) return { label: `${alpha}`, look: 'best' };
  const isEnd = alpha === points[0]?.alpha || alpha === points.at(-1)?.alpha;
  return { label: `${Number(alpha.toFixed(3))}`, look: isEnd ? 'end' : 'between' };
}

function table({ data, points, best }: MixingCurve): Content {
  return markup`
<section aria-labelledby="values">
  <h2 id="values">Values</h2>
  <p class="lead">95 % intervals are of sampling images alone, not of training again.</p>
  <div class="card scroll"><table>
    <thead><tr><th scope="col">alpha</th>${data.map(
      ({ spec, role, metric, samples }) =>
        markup`<th scope="col">${role}: ${spec}<br>${metric}, ${samples} images</th>`,
    )}<th scope="col">mean of both</th></tr></thead>
    <tbody>${points.map(
      ({ alpha, values, score }) =>
        markup`<tr><th scope="row">${Number(alpha.toFixed(4))}${alpha === best ? markup`<span class="tag">best</span>` : null}</th>${values.map(
          ({ value, interval }) =>
            markup`<td class="metric"><b>${formatMetric(value, 'fraction')}</b><small>${formatInterval(interval, 'fraction')}</small></td>`,
        )}<td class="metric">${formatMetric(score, 'fraction')}</td></tr>`,
    )}</tbody>
  </table></div>
</section>`;
}

function rulePart(rule: string): Content {
  return markup`
<section aria-labelledby="rule">
  <h2 id="rule">How the factor was chosen</h2>
  <p>By ${rule}. It was chosen on the data above, so its values are a little optimistic: report those of data that took no part.</p>
</section>`;
}
