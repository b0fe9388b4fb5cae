/** In- against out-of-distribution accuracy, with the line that effective robustness is measured from. */
import { BantamError } from '../../base/errors.js';
import { effectiveRobustness, robustnessLine, type RobustnessLine } from '../../eval/index.js';
import { moments, studentInterval, type StudyColumn, type StudyResult } from '../../study/index.js';
import { markup, type Content } from '../markup.js';
import { logitScatter } from '../logit-scatter.js';
import { percent } from './figures.js';

/** Arms whose names a scatter plot has room for. */
const mostNamed = 8;

/** A section for each pair of data sets of which one is out of distribution; null: there is none. */
export function robustnessSection(result: StudyResult): Content {
  const { columns } = result;
  const pairs = columns
    .filter(({ kind, lowerIsBetter }) => kind === 'out-of-distribution' && !lowerIsBetter)
    .flatMap((shifted) =>
      columns
        .filter(({ kind, metric }) => kind === 'in-distribution' && metric === shifted.metric)
        .slice(0, 1)
        .map((reference) => scatter(result, reference, shifted)),
    );
  if (pairs.length === 0) return null;
  return markup`
<section aria-labelledby="robustness">
  <h2 id="robustness">In and out of distribution</h2>
  <p class="lead">Each mark is an arm's mean on logit axes. The line is that of all runs of the study by least
    squares; effective robustness is the accuracy above it (Taori et al. 2020). The dashed diagonal is equal accuracy on both.</p>
  ${pairs}
</section>`;
}

function scatter(result: StudyResult, reference: StudyColumn, shifted: StudyColumn): Content {
  const arms = result.arms.flatMap((arm) => {
    const rows = arm.rows.flatMap(({ metrics }) => {
      const [own, other] = [metrics[reference.id], metrics[shifted.id]];
      return own === undefined || other === undefined
        ? []
        : [{ reference: own.value, shifted: other.value }];
    });
    return rows.length === 0 ? [] : [{ name: arm.name, grid: arm.grid, rows }];
  });
  const line = lineOf(arms.flatMap(({ rows }) => rows));
  if (line === null) {
    return markup`<p>${shifted.id}: all runs have the same accuracy in distribution, so there is no line.</p>`;
  }
  const grids = [...new Set(arms.map(({ grid }) => grid))];
  const named = arms.map(({ name, grid, rows }) => ({
    name: grids.length > 1 ? `${grid}: ${name}` : name,
    x: moments(rows.map((row) => row.reference)).mean,
    y: moments(rows.map((row) => row.shifted)).mean,
    gains: rows.map((row) => 100 * effectiveRobustness(row, line)),
  }));
  const look = named.length <= mostNamed ? 'main' : 'faint';
  return markup`
<div class="card shift">
  ${logitScatter({
    title: `${shifted.id} by ${reference.id}`,
    points: named.map(({ name, x, y }) => ({ name, x, y, look })),
    lines: [line],
    xName: reference.id,
    yName: shifted.id,
  })}
  <div class="scroll">  <table class="dense"><thead><tr><th scope="col">arm</th><th scope="col" class="number">${reference.id}</th>
    <th scope="col" class="number">${shifted.id}</th><th scope="col" class="number">effective robustness, points</th></tr></thead>
  <tbody>${named.map(({ name, x, y, gains }) => {
    const interval = studentInterval(gains);
    const around = interval === null ? '' : ` ± ${((interval[1] - interval[0]) / 2).toFixed(1)}`;
    return markup`<tr><th scope="row">${name}</th><td class="number">${percent(x)}</td>
      <td class="number">${percent(y)}</td><td class="number">${moments(gains).mean.toFixed(1)}${around}</td></tr>`;
  })}</tbody></table></div>
</div>`;
}

function lineOf(
  rows: readonly { readonly reference: number; readonly shifted: number }[],
): RobustnessLine | null {
  try {
    return robustnessLine(rows);
  } catch (error) {
    if (error instanceof BantamError) return null;
    throw error;
  }
}
