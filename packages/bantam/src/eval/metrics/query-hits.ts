import type { Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { at } from '../../base/at.js';
import { retrievalChance } from './chance.js';
import type { Scores } from './scores.js';
import { rankPositives } from './ranks.js';

/** A search in someone's own words, and what answers it. */
export interface AnsweredQuery {
  readonly query: string;
  /** First captions of the images that are right answers. */
  readonly answers: readonly string[];
}

/** A query and the rank of its best answer among the images, from 1. */
export interface QueryRank {
  readonly query: string;
  readonly rank: number;
}

export interface QueryHitsOptions {
  readonly queries: readonly AnsweredQuery[];
  /** Features of the queries, [Q, D] float32, L2-normalised. */
  readonly text: Tensor;
  /** Features of the images, [N, D] float32, L2-normalised. */
  readonly image: Tensor;
  /** The first caption of each image. */
  readonly captions: readonly string[];
}

const cutoffs = [1, 5, 10];

/** True if each query has an answer among images with these captions. */
export function answersAll(
  queries: readonly AnsweredQuery[],
  captions: readonly string[],
): boolean {
  const held = new Set(captions);
  return queries.every(({ answers }) => answers.some((answer) => held.has(answer)));
}

/**
 * `hit_rate@1`, `@5` and `@10`: the fraction of queries with a right answer among the k images closest
 * to them, and every query's rank.
 *
 * @throws BantamError for a query without an answer among the images, which no model could find.
 */
export function queryHits({
  queries,
  text,
  image,
  captions,
}: QueryHitsOptions): Scores & { readonly ranks: readonly QueryRank[] } {
  const positives = queries.map(({ query, answers }) => {
    const right = new Set(answers);
    const rows = captions.flatMap((caption, row) => (right.has(caption) ? [row] : []));
    if (rows.length > 0) return rows;
    throw new BantamError(
      `None of ${captions.length} images answers the query "${query}"; leave it out, or add an answer that is there.`,
    );
  });
  const best = rankPositives(text, image, positives).positive;
  const ranks = queries.map(({ query }, row) => ({ query, rank: 1 + at(best, row) }));
  const expected = retrievalChance(
    captions.length,
    positives.map(({ length }) => length),
  );
  const named = (value: (k: number) => number): Record<string, number> =>
    Object.fromEntries(cutoffs.map((k) => [`hit_rate@${k}`, value(k)]));
  return {
    metrics: named((k) => ranks.filter(({ rank }) => rank <= k).length / ranks.length),
    chance: named((k) => expected.recall(k)),
    ranks,
  };
}
