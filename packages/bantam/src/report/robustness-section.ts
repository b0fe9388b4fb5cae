import {
  describeLine,
  formatInterval,
  formatMetric,
  formatPoints,
  measureOf,
  type RobustnessLine,
  type ShiftRobustness,
  type SuiteReport,
} from '../eval/index.js';
import { logitScatter, type ScatterPoint } from './logit-scatter.js';
import { markup, type Content } from './markup.js';

/** Effective robustness on every shift of a suite: a chart and a table each. */
export function robustnessSection({ robustness }: SuiteReport): Content {
  if (robustness.length === 0) return null;
  return markup`
<section aria-labelledby="robustness">
  <h2 id="robustness">Effective robustness</h2>
  <p class="lead">Accuracy on a shifted data set beyond what a line through other models, on logit axes,
    predicts from the accuracy on the reference (Taori et al. 2020). Intervals are of sampling images;
    the line's own error is left out. The dashed diagonal is equal accuracy on both.</p>
  ${robustness.map(shiftCard)}
</section>`;
}

function shiftCard(shift: ShiftRobustness): Content {
  const { dataset, shiftOf, models, baselines, without } = shift;
  const points: ScatterPoint[] = [
    ...baselines.map(({ name, reference, shifted }) => ({
      ...{ name, x: reference, y: shifted },
      look: 'faint' as const,
    })),
    ...models.map(({ model, reference, shifted }) => ({
      ...{ name: model, x: reference, y: shifted },
      look: 'main' as const,
    })),
  ];
  return markup`
<div class="card shift">
  ${
    models.length === 0
      ? null
      : logitScatter({
          title: `Accuracy on ${dataset} by accuracy on ${shiftOf}`,
          points,
          lines: distinctLines(shift),
          xName: shiftOf,
          yName: dataset,
        })
  }
  <div class="scroll"><table>
    <caption>${dataset}, a shift of ${shiftOf}<small>${measureOf(shift)}. ${describeLine(shift)}</small></caption>
    <thead><tr><th scope="col">model</th>${[
      shiftOf,
      dataset,
      'of the line',
      'effective robustness',
    ].map((name) => markup`<th scope="col" class="number">${name}</th>`)}</tr></thead>
    <tbody>${models.map(
      ({ model, reference, shifted, predicted, effective, interval }) =>
        markup`<tr><th scope="row">${model}</th>${[reference, shifted, predicted].map(
          (value) => markup`<td class="number">${formatMetric(value, 'fraction')}</td>`,
        )}<td class="number"><b>${formatPoints(effective)}</b> <small>${formatInterval(interval, 'fraction')}</small></td></tr>`,
    )}${without.map(
      ({ model, reason }) =>
        markup`<tr><th scope="row">${model}</th><td colspan="4">${reason}</td></tr>`,
    )}</tbody>
  </table></div>
</div>`;
}

/** The lines of the models, each once. */
function distinctLines({ models }: ShiftRobustness): readonly RobustnessLine[] {
  const lines = new Map(models.map(({ line }) => [`${line.slope} ${line.intercept}`, line]));
  return [...lines.values()];
}
