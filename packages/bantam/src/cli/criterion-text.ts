/** Criteria of subsets in words. */
import type { Criterion } from '../data/index.js';

/** A criterion as a clause: `the 40 % with the highest similarity`, `words >= 3`. */
export function describeCriterion(criterion: Criterion): string {
  switch (criterion.type) {
    case 'top': {
      const { scores, fraction, ties } = criterion;
      const by = scores.length > 1 ? `rank by ${scores.join(' and ')}` : scores.join();
      const kept = ties === 'keep' ? ', ties kept' : '';
      return `the ${percent(fraction)} with the highest ${by}${kept}`;
    }
    case 'where':
      return `${criterion.score} ${criterion.is} ${criterion.value}`;
    case 'random':
      return `a random ${percent(criterion.fraction)}, seed ${criterion.seed}`;
    case 'per-class': {
      const { count, labels, by, seed } = criterion;
      const of = labels === undefined ? '' : ` by ${labels}`;
      return `at most ${count} of each class${of}, ${by === undefined ? `seed ${seed}` : `the highest ${by}`}`;
    }
    case 'unique': {
      const { score, distance, by } = criterion;
      const within = score === 'phash' ? ` within ${distance} bits` : '';
      return `one of each group by ${score}${within}, ${by === undefined ? 'the first' : `the highest ${by}`}`;
    }
    case 'balance-captions': {
      const { t, entries, seed } = criterion;
      const of = entries === undefined ? 'each word' : `each entry of ${entries}`;
      return `captions balanced to ${t} of ${of}, seed ${seed}`;
    }
    case 'subset':
      return `records of ${criterion.file}`;
    case 'datacomp-basic': {
      const { language, minSide } = criterion;
      return `DataComp's basic filter (${language}, sides of ${minSide} pixels or more)`;
    }
    case 'all':
    case 'any':
      return criterion.of
        .map((one) => `(${describeCriterion(one)})`)
        .join(criterion.type === 'all' ? ' and ' : ' or ');
    case 'not':
      return `not (${describeCriterion(criterion.of)})`;
  }
}

function percent(fraction: number): string {
  return `${Number((100 * fraction).toPrecision(3))} %`;
}
