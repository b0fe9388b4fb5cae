import { at } from '../../base/at.js';
import { latticeModel, lanesOf, leastScore, type Word } from './expectation-maximization.js';
import { Lattice, type LatticeModel } from './lattice.js';
import { compareCharacters } from './order.js';
import type { ScoredTokens } from './seed-tokens.js';

const { fround } = Math;

/** Fraction of the tokens that a round of pruning keeps: SentencePiece's default. */
const KEPT = 0.75;

/**
 * Segmentations without each token: null, if its own best segmentation is in several tokens
 * already; else the ids of the second best one, none if there is no other.
 */
function alternatives(tokens: ScoredTokens, model: LatticeModel): (readonly number[] | null)[] {
  const lattice = new Lattice();
  return tokens.texts.map((text) => {
    lattice.setText(text, model);
    const [best = [], second] = lattice.bestTwo();
    if (second === undefined) return [];
    return best.length > 1 ? null : second;
  });
}

/** Occurrences of the tokens in the best segmentations of the words. */
function countBest(words: readonly Word[], model: LatticeModel): Float32Array {
  const lattice = new Lattice();
  const counts = new Float32Array(model.scores.length);
  for (const lane of lanesOf(words)) {
    const own = new Float32Array(counts.length);
    for (const { text, count } of lane) {
      lattice.setText(text, model);
      for (const id of lattice.best()) own[id] = at(own, id) + count;
    }
    for (let id = 0; id < own.length; id++) counts[id] = (counts[id] ?? NaN) + (own[id] ?? NaN);
  }
  return counts;
}

/**
 * Removes the tokens whose absence costs the least likelihood (Kudo 2018, section 3.2), a quarter of
 * them, but not below `desired`. The cost of a token is what the captions' likelihood loses when all
 * its occurrences become its second best segmentation. Tokens that the best segmentations of the
 * words do not hold go in any case; tokens that cannot be segmented otherwise stay.
 */
export function prune(words: readonly Word[], tokens: ScoredTokens, desired: number): ScoredTokens {
  const model = latticeModel(tokens);
  const others = alternatives(tokens, model);
  const counts = countBest(words, model);
  const total = fround(counts.reduce((sum, count) => sum + count, 0));
  const logTotal = fround(Math.log(total));
  const kept: number[] = [];
  const costs: { readonly id: number; readonly cost: number }[] = [];
  for (const [id, other] of others.entries()) {
    const count = at(counts, id);
    if (count === 0 || other === null) continue;
    if (other.length === 0) {
      kept.push(id);
      continue;
    }
    const own = fround(Math.log(count) - logTotal);
    const changed = fround(total + fround(count * (other.length - 1)));
    const logChanged = fround(Math.log(changed));
    let instead = 0;
    for (const part of other) {
      instead = fround(instead + (Math.log(fround(at(counts, part) + count)) - logChanged));
    }
    const cost = fround(fround(count / total) * fround(own - instead));
    costs.push({ id, cost });
  }
  costs.sort((a, b) => b.cost - a.cost || a.id - b.id);
  const size = Math.max(desired, Math.trunc(fround(fround(KEPT) * tokens.texts.length)));
  // With more tokens than that which cannot go, all stay: as in SentencePiece.
  const room = kept.length > size ? costs.length : size - kept.length;
  for (const { id } of costs.slice(0, room)) kept.push(id);
  return {
    texts: kept.map((id) => at(tokens.texts, id)),
    scores: Float32Array.from(kept, (id) => at(tokens.scores, id)),
  };
}

/** The tokens that no other segmentation of their own text is better than. */
export function onlyReachable(tokens: ScoredTokens): ScoredTokens {
  const model = latticeModel(tokens);
  const lattice = new Lattice();
  const kept = Array.from(tokens.texts.keys()).filter((id) => {
    lattice.setText(at(tokens.texts, id), model);
    return !(lattice.bestWithout(id) > at(tokens.scores, id));
  });
  return {
    texts: kept.map((id) => at(tokens.texts, id)),
    scores: Float32Array.from(kept, (id) => at(tokens.scores, id)),
  };
}

/** Difference of the scores of neighbouring characters that have none of their own. */
const STEP = fround(0.0001);

/**
 * The tokens of the vocabulary, those with the highest scores first: all characters that it must
 * cover, and the best other tokens.
 *
 * @param characters - in the order of their counts
 */
export function chooseFinal(
  tokens: ScoredTokens,
  characters: Iterable<string>,
  size: number,
): { readonly text: string; readonly score: number }[] {
  const scores = new Map(tokens.texts.map((text, id) => [text, at(tokens.scores, id)]));
  const least = leastScore(tokens);
  const chosen = new Map<string, number>();
  let above = 0;
  for (const character of characters) {
    const score = scores.get(character);
    chosen.set(character, score ?? fround(least + above));
    if (score === undefined) above = fround(above + STEP);
  }
  const ordered = (entries: Iterable<[string, number]>): [string, number][] =>
    [...entries].sort(([a, x], [b, y]) => y - x || compareCharacters(a, b));
  for (const [text, score] of ordered(scores)) {
    if (chosen.size >= size) break;
    if (!chosen.has(text)) chosen.set(text, score);
  }
  return ordered(chosen).map(([text, score]) => ({ text, score }));
}
