/** Successive halving: how many candidates are piloted for how long. */
import { at } from '../../base/at.js';

/** Runs of one length, of the candidates that are still in question. */
export interface Rung {
  readonly candidates: number;
  /** Training time of each run. */
  readonly seconds: number;
}

/** Options of {@link planRungs}. */
export interface RungOptions {
  /** Time for all pilots. */
  readonly seconds: number;
  /** Time of a run beside its training: start, evaluation. */
  readonly overhead: number;
  /** The shortest training that tells anything. */
  readonly shortest: number;
  /** Candidates that there are. */
  readonly candidates: number;
}

/** Numbers of candidates at the start, the most that fit being taken. */
const starts = [16, 12, 8, 6, 4, 3, 2] as const;

/** Of the candidates of a rung one in so many is in the next, whose runs are about as many times longer. */
export const keptOneIn = 4;

/** The fewest of a rung: a choice needs two. */
const fewest = 2;

/** The least time in which {@link planRungs} has pilots: that of the fewest runs of the shortest length. */
export function leastForRungs({
  overhead,
  shortest,
}: Pick<RungOptions, 'overhead' | 'shortest'>): number {
  return fewest * (overhead + shortest);
}

/**
 * Rungs of successive halving (Jamieson and Talwalkar 2016): each takes an equal part of the time, and a
 * quarter of its candidates stay for the next, down to two. The first has as many candidates as runs of
 * the shortest useful length fit, up to 16; none if not even two do.
 */
export function planRungs({ seconds, overhead, shortest, candidates }: RungOptions): Rung[] {
  const possible = starts.filter((count) => count <= candidates);
  for (const first of possible) {
    const counts: number[] = [first];
    for (let count: number = first; count > fewest;) {
      count = Math.max(fewest, Math.floor(count / keptOneIn));
      counts.push(count);
    }
    const rungs = counts.map((count) => {
      return { candidates: count, seconds: seconds / counts.length / count - overhead };
    });
    if (rungs.every((rung) => rung.seconds >= shortest)) return rungs;
  }
  return [];
}

/** Options of {@link chooseForRung}. */
export interface ChooseOptions {
  readonly count: number;
  /** Chance of each candidate to be the best at the whole budget. */
  readonly chances: readonly number[];
  /** Predicted metric of each at the whole budget. */
  readonly values: readonly number[];
  readonly presets: readonly string[];
  /** Candidates of the rung before; empty: none. */
  readonly before: readonly number[];
  /** Candidates that failed or do not fit. */
  readonly excluded: ReadonlySet<number>;
}

/**
 * Indices of a rung's candidates: the likeliest to be the best. The first rung has the one with the highest
 * prediction as well, and beside these two at most a third of one preset. Uncertain candidates have a chance because they are uncertain, and
 * only what had a pilot is chosen in the end.
 */
export function chooseForRung(options: ChooseOptions): number[] {
  const { count, chances, values, presets, before, excluded } = options;
  const order = chances
    .map((_, i) => i)
    .filter((i) => !excluded.has(i))
    .sort((a, b) => at(chances, b) - at(chances, a) || at(values, b) - at(values, a) || a - b);
  if (before.length > 0) return keepersAndNew(order, { count, before });
  const leaders = order.toSorted((a, b) => at(values, b) - at(values, a)).slice(0, 1);
  const sure = new Set([...leaders, ...order.slice(0, 1)]);
  const first = [...new Set([...sure, ...order])];
  // The prior of a preset may be wrong in all of its candidates.
  const mostOfPreset = Math.max(1, Math.ceil(count / 3));
  const ofPreset = new Map<string, number>();
  const chosen = first.filter((i) => {
    const name = at(presets, i);
    const taken = ofPreset.get(name) ?? 0;
    ofPreset.set(name, taken + 1);
    return sure.has(i) || taken < mostOfPreset;
  });
  return [...new Set([...chosen.slice(0, count), ...first])].slice(0, count);
}

/** Half at least of a later rung was in the one before, as long runs are compared with short ones. */
function keepersAndNew(
  order: readonly number[],
  { count, before }: Pick<ChooseOptions, 'count' | 'before'>,
): number[] {
  const kept = order.filter((i) => before.includes(i));
  const sure = kept.slice(0, Math.ceil(count / 2));
  const others = order.filter((i) => !sure.includes(i));
  return [...sure, ...others].slice(0, count);
}
