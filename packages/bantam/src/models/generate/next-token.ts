import {
  arange,
  argmax,
  cat,
  clamp,
  cumsum,
  dims,
  div,
  eq,
  ge,
  log,
  logicalOr,
  lt,
  maskedFill,
  min,
  mul,
  narrow,
  neg,
  rand,
  softmax,
  sub,
  topk,
  where,
  type Generator,
  type Tensor,
} from '@bantam/torch';

/** Constraints on captions, for every method. */
export interface ConstrainOptions {
  /** Id that ends a caption. */
  readonly endId: number;
  /** Fewest tokens before the end, the start included. */
  readonly minTokens: number;
  /** Positive logits of tokens that the caption has already are divided by it, others multiplied. */
  readonly repetitionPenalty: number;
}

/** Filters of a distribution before a token is sampled from it. */
export interface FilterOptions {
  /** The most likely so many tokens; 0: all. */
  readonly topK: number;
  /** The fewest most likely tokens whose probabilities add up to this. */
  readonly topP: number;
}

/**
 * Logits [N, V] of the token after ids [N, L] under the constraints: none ends too early, and
 * repetition costs (Keskar et al. 2019, "CTRL", section 4.1).
 */
export function constrainLogits(
  logits: Tensor,
  ids: Tensor,
  { endId, minTokens, repetitionPenalty }: ConstrainOptions,
): Tensor {
  const vocabulary = arange(logits.dim(1), { device: logits.device });
  const early = ids.dim(1) < minTokens;
  const open = early ? maskedFill(logits, eq(vocabulary, endId), -Infinity) : logits;
  if (repetitionPenalty === 1) return open;
  const repeated = Array.from({ length: ids.dim(1) }, (_, position) =>
    eq(narrow(ids, 1, position, 1), vocabulary),
  ).reduce(logicalOr);
  const costly = where(lt(open, 0), mul(open, repetitionPenalty), div(open, repetitionPenalty));
  return where(repeated, costly, open);
}

/**
 * Logits [N, V], −∞ for all but the most likely: first the `topK` (Fan et al. 2018, section 5.4), then
 * of these the nucleus of `topP` (Holtzman et al. 2020, section 3.1).
 */
export function filterLogits(logits: Tensor, { topK, topP }: FilterOptions): Tensor {
  const some = topK > 0 && topK < logits.dim(1) ? keepMost(logits, topK) : logits;
  return topP < 1 ? keepNucleus(some, topP) : some;
}

function keepMost(logits: Tensor, count: number): Tensor {
  const least = narrow(topk(logits, count).values, 1, count - 1, 1);
  return maskedFill(logits, lt(logits, least), -Infinity);
}

/** Sorts only as many of the likeliest tokens as make up `topP`: seldom all. */
function keepNucleus(logits: Tensor, topP: number): Tensor {
  const vocabulary = logits.dim(1);
  const chances = softmax(logits, 1);
  for (let count = 256; ; count *= 8) {
    const some = Math.min(count, vocabulary);
    const { values } = topk(chances, some);
    const upTo = cumsum(values, 1);
    if (some < vocabulary && min(narrow(upTo, 1, some - 1, 1)).item() < topP) continue;
    const unlikely = ge(sub(upTo, values), topP);
    const least = min(maskedFill(values, unlikely, 1), { dim: 1, keepdim: true });
    return maskedFill(logits, lt(chances, least), -Infinity);
  }
}

/**
 * One token for each row of logits [N, V] from softmax(logits/temperature): the largest of
 * logits/temperature − ln(−ln u) with u uniform (Gumbel 1954). int64 [N]. Each generator samples
 * equally many rows.
 */
export function sampleToken(
  logits: Tensor,
  temperature: number,
  generators: readonly Generator[],
): Tensor {
  const [rows, vocabulary] = dims(logits, 2);
  const shape = [rows / generators.length, vocabulary];
  const samples = generators.map((generator) => rand(shape, generator, { device: logits.device }));
  const uniform = clamp(cat(samples), { min: 1e-20 });
  return argmax(sub(div(logits, temperature), log(neg(log(uniform)))), { dim: 1 });
}
