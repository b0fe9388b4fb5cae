import { matmul, noGrad, scope, transpose, type Tensor } from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { mean } from '../../base/statistics.js';
import { meanInterval } from '../statistics/intervals.js';
import type { Scores } from './scores.js';

/** A cue, and which of some images people associate with it (WinoGAViL, Bitton et al. 2022). */
export interface Association {
  readonly cue: string;
  /** Rows of the candidates' features. */
  readonly candidates: readonly number[];
  /** Those of the candidates that belong to the cue. */
  readonly associations: readonly number[];
}

export interface AssociationsInput {
  readonly items: readonly Association[];
  /** Features of the cues' prompts [items, D], L2-normalised. */
  readonly text: Tensor;
  /** Features of the images [N, D], L2-normalised. */
  readonly image: Tensor;
}

/** The prompt of a cue: `a werewolf`, `an astronaut` with a capital, as WinoGAViL writes it. */
export function cuePrompt(cue: string): string {
  const lower = cue.toLowerCase();
  return `${/^[aeiou]/.test(lower) ? 'An' : 'A'} ${lower}`;
}

/**
 * WinoGAViL as DataComp measures it: of each cue's candidates, the k most similar are the answer,
 * with k the number of associations; the score is |answer ∩ associations| / |answer ∪ associations|,
 * averaged over all cues and over those with 5 or 6 and with 10 or 12 candidates. Chance is the
 * expected score of k candidates taken at random.
 *
 * @throws BantamError for an item without associations among its candidates.
 */
export function associationScores({ items, text, image }: AssociationsInput): Scores {
  const scores: number[] = [];
  const chances: number[] = [];
  const similarity = noGrad(() =>
    scope(() => matmul(text, transpose(image, 0, 1)).toTypedArray()),
  ) as Float32Array;
  const images = image.dim(0);
  items.forEach(({ cue, candidates, associations }, row) => {
    const right = new Set(associations);
    const known = new Set(candidates);
    if (right.size === 0 || associations.some((item) => !known.has(item))) {
      throw new BantamError(
        `The cue "${cue}" (item ${row + 1}) has no associations, or some that are not among its candidates; mend the file.`,
      );
    }
    const score = (item: number): number => at(similarity, row * images + item);
    const answer = candidates
      .map((item, order) => ({ item, order }))
      .sort((a, b) => score(b.item) - score(a.item) || a.order - b.order)
      .slice(0, right.size);
    const hits = answer.filter(({ item }) => right.has(item)).length;
    scores.push(hits / (2 * right.size - hits));
    chances.push(expectedJaccard(candidates.length, right.size));
  });
  const metrics: Record<string, number | null> = {};
  const chance: Record<string, number | null> = {};
  const intervals: NonNullable<Scores['intervals']> = {};
  const add = (name: string, chosen: readonly number[]): void => {
    const meanOf = (values: readonly number[]): number | null =>
      chosen.length === 0 ? null : mean(chosen.map((row) => at(values, row)));
    metrics[name] = meanOf(scores);
    chance[name] = meanOf(chances);
    if (chosen.length > 1) intervals[name] = meanInterval(chosen.map((row) => at(scores, row)));
  };
  const rows = items.map((_, row) => row);
  const sized = (holds: (size: number) => boolean): number[] =>
    rows.filter((row) => holds(at(items, row).candidates.length));
  add('avg_jaccard_score', rows);
  add(
    'jaccard_score_5-6',
    sized((size) => size <= 6),
  );
  add(
    'jaccard_score_10-12',
    sized((size) => size >= 10),
  );
  return { metrics, chance, intervals };
}

/** Σ_h P(h hits)·h/(2k−h) for k of n candidates taken at random (hypergeometric). */
function expectedJaccard(n: number, k: number): number {
  const choose = (from: number, take: number): number => {
    let ways = 1;
    for (let i = 0; i < take; i++) ways *= (from - i) / (i + 1);
    return ways;
  };
  let sum = 0;
  for (let hits = 0; hits <= k; hits++) {
    const odds = (choose(k, hits) * choose(n - k, k - hits)) / choose(n, k);
    sum += (odds * hits) / (2 * k - hits);
  }
  return sum;
}
