import { at } from '../../base/at.js';
import { TokenTrie } from '../token-trie.js';
import { UNKNOWN_PENALTY } from '../sentencepiece/segment-unigram.js';
import { Lattice, type LatticeModel } from './lattice.js';
import type { ScoredTokens } from './seed-tokens.js';

const { fround } = Math;

/** A distinct word of the captions. */
export interface Word {
  readonly text: string;
  readonly count: number;
}

/**
 * SentencePiece's trainer divides the words among 16 threads and adds up their sums, in single
 * precision; sums in the same order give the same vocabulary.
 */
const LANES = 16;

/** Expected occurrences below which a token goes. */
const LEAST_EXPECTED = 0.5;

/** The lowest score of all tokens. */
export function leastScore({ scores }: ScoredTokens): number {
  return scores.reduce((least, score) => Math.min(least, score), Infinity);
}

/** The tokens as a lattice wants them. */
export function latticeModel(tokens: ScoredTokens): LatticeModel {
  const unknownScore = fround(leastScore(tokens) - UNKNOWN_PENALTY);
  return { trie: new TokenTrie(tokens.texts), scores: tokens.scores, unknownScore };
}

/** Words by the thread that SentencePiece gives them to. */
export function* lanesOf(words: readonly Word[]): Generator<Word[], void, undefined> {
  for (let lane = 0; lane < Math.min(LANES, words.length); lane++) {
    yield words.filter((_, i) => i % LANES === lane);
  }
}

/** How often each token is expected in the captions (Kudo 2018, section 3.2). */
function expectedCounts(words: readonly Word[], tokens: ScoredTokens): Float32Array {
  const model = latticeModel(tokens);
  const lattice = new Lattice();
  const expected = new Float32Array(tokens.texts.length);
  for (const lane of lanesOf(words)) {
    const own = new Float32Array(expected.length);
    for (const { text, count } of lane) {
      lattice.setText(text, model);
      lattice.addExpected(count, own);
    }
    for (let id = 0; id < own.length; id++) {
      expected[id] = (expected[id] ?? NaN) + (own[id] ?? NaN);
    }
  }
  return expected;
}

/** ψ(x), the derivative of ln Γ(x): by its recurrence up to x ≥ 7, then the asymptotic series. */
export function digamma(x: number): number {
  let result = 0;
  for (; x < 7; x++) result -= 1 / x;
  const inverse = 1 / (x - 1 / 2);
  const square = inverse * inverse;
  const fourth = square * square;
  return (
    result +
    (Math.log(x - 1 / 2) +
      (1 / 24) * square -
      (7 / 960) * fourth +
      (31 / 8064) * fourth * square -
      (127 / 30720) * fourth * fourth)
  );
}

/**
 * One step of expectation maximisation. The new score of a token is ψ(its expected count) − ψ(their
 * sum), the mean logarithm under a Dirichlet posterior with a flat-zero prior (Liang et al. 2007),
 * which favours sparse vocabularies; tokens with less than half an expected occurrence go.
 */
export function improve(words: readonly Word[], tokens: ScoredTokens): ScoredTokens {
  const expected = expectedCounts(words, tokens);
  const kept = Array.from(expected.keys()).filter((id) => at(expected, id) >= LEAST_EXPECTED);
  let sum = 0;
  for (const id of kept) sum = fround(sum + at(expected, id));
  const total = fround(digamma(sum));
  return {
    texts: kept.map((id) => at(tokens.texts, id)),
    scores: Float32Array.from(kept, (id) => digamma(at(expected, id)) - total),
  };
}
