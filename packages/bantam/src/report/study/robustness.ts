/** In- against out-of-distribution accuracy, with the line that effective robustness is measured from. */
import { BantamError } from '../../base/errors.js';
import { effectiveRobustness, robustnessLine, type RobustnessLine } from '../../eval/index.js';
import { moments, studentInterval, type StudyColumn, type StudyResult } from '../../study/index.js';
import { markup, type Content } from '../markup.js';
import { plot } from '../plot.js';
import { percent } from './figures.js';

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
    squares; effective robustness is the accuracy above it (Taori et al. 2020).</p>
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
  const inside = arms.flatMap(({ rows }) => rows.map((row) => row.reference)).filter(isInside);
  const ends = [Math.min(...inside), Math.max(...inside)];
  return markup`
<div class="card">
  ${plot({
    title: `${shifted.id} by ${reference.id}`,
    x: { name: reference.id, scale: 'logit', format: percent },
    y: { name: shifted.id, scale: 'logit', format: percent },
    width: 560,
    height: 380,
    series: grids.map((name) => ({
      name,
      isJoined: false,
      points: arms
        .filter(({ grid }) => grid === name)
        .map(({ rows }) => ({
          x: moments(rows.map((row) => row.reference)).mean,
          y: moments(rows.map((row) => row.shifted)).mean,
        }))
        .filter(({ x, y }) => isInside(x) && isInside(y)),
    })),
    curves: [
      {
        name: 'line of all runs',
        points: steps(ends).map((x) => ({ x, y: -effectiveRobustness({ reference: x, shifted: 0 }, line) })), // prettier-ignore
      },
    ],
  })}
  <table class="dense"><thead><tr><th scope="col">arm</th><th scope="col" class="number">${reference.id}</th>
    <th scope="col" class="number">${shifted.id}</th><th scope="col" class="number">effective robustness, points</th></tr></thead>
  <tbody>${arms.map(({ name, grid, rows }) => {
    const gains = rows.map((row) => 100 * effectiveRobustness(row, line));
    const interval = studentInterval(gains);
    const around = interval === null ? '' : ` ± ${((interval[1] - interval[0]) / 2).toFixed(1)}`;
    return markup`<tr><th scope="row">${grids.length > 1 ? `${grid}: ` : ''}${name}</th>
      <td class="number">${percent(moments(rows.map((row) => row.reference)).mean)}</td>
      <td class="number">${percent(moments(rows.map((row) => row.shifted)).mean)}</td>
      <td class="number">${moments(gains).mean.toFixed(1)}${around}</td></tr>`;
  })}</tbody></table>
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

/** Accuracies of 0 and 1 have no position on a logit axis. */
function isInside(accuracy: number): boolean {
  return accuracy > 0 && accuracy < 1;
}

function steps([low = 0, high = 1]: readonly number[]): number[] {
  return Array.from({ length: 30 }, (_, i) => low + ((high - low) * i) / 29);
}
