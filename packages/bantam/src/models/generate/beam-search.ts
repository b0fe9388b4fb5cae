import { add, at, logSoftmax, reshape, scope, tensor, topk, type Tensor } from '@bantam/torch';
import type { CaptionWriter } from './caption-writer.js';
import { constrainLogits, type ConstrainOptions } from './next-token.js';

/** Options of {@link beamSearch}. */
export interface BeamSearchOptions extends ConstrainOptions {
  /** Number of images. */
  readonly images: number;
  /** Captions that are followed at a time for each image. */
  readonly beams: number;
  /** Captions that are returned for each image, at most {@link beams}. */
  readonly count: number;
  /** Scores of tokens whose sum is a caption's score. */
  readonly scores: 'log-probability' | 'logit';
  readonly startId: number;
  readonly maxTokens: number;
}

/** A caption, whole or in the making, with the sum of its tokens' scores. */
interface Beam {
  readonly ids: readonly number[];
  readonly score: number;
}

/** Score of a beam that is none yet: less than any sum. */
const NEVER = -1e9;

/** The best whole captions of an image so far, by their score for each token. */
class Finished {
  readonly found: Beam[] = [];

  constructor(readonly limit: number) {}

  /** Takes a caption of `length` tokens if it is among the best. */
  add({ ids, score }: Beam, length: number): void {
    this.found.push({ ids, score: score / length });
    this.found.sort((a, b) => b.score - a.score);
    this.found.splice(this.limit);
  }

  /** True if no open caption, of `length` tokens by then, can become one of the best. */
  isBest({ score }: Beam, length: number): boolean {
    const worst = this.found[this.limit - 1];
    return worst !== undefined && worst.score >= score / length;
  }
}

/**
 * Captions of high score (beam search; Graves 2012, section 2.5): of all continuations of an image's
 * beams, the best that do not end are its next beams; those that end among the best `beams` are
 * captions. Captions are compared by their mean score, and the search ends when no open one could
 * win with its present score. For each image lists of ids, best first.
 *
 * With the scores `logit` the result equals that of OpenCLIP's `generate` with as many beams in a
 * group, which sums raw logits. Its groups are independent, so that all find the same.
 */
export function beamSearch(writer: CaptionWriter, options: BeamSearchOptions): number[][][] {
  const { images, beams: width, count, startId, endId, maxTokens } = options;
  const finished = Array.from({ length: images }, () => new Finished(width));
  const done = finished.map(() => false);
  // All beams start alike, so the first alone counts.
  let open: Beam[][] = finished.map(() =>
    Array.from({ length: width }, (_, i) => ({ ids: [startId], score: i === 0 ? 0 : NEVER })),
  );
  for (let length = 1; length < maxTokens && !done.every(Boolean); length++) {
    const candidates = scope(() => bestOf(writer, open, options));
    const sources: number[] = [];
    open = open.map((beams, image) => {
      const ranked = at(candidates, image);
      const next: Beam[] = [];
      for (const [rank, { from, token, score }] of ranked.entries()) {
        if (next.length === width) break;
        const { ids } = at(beams, from);
        if (token !== endId) {
          next.push({ ids: [...ids, token], score });
          sources.push(image * width + from);
        } else if (rank < width && done[image] !== true) {
          at(finished, image).add({ ids, score }, length + 1);
        }
      }
      const [best] = ranked;
      if (best && at(finished, image).isBest({ ids: [], score: best.score }, length + 1)) {
        done[image] = true;
      }
      return next;
    });
    scope(() => {
      writer.reorder(sources);
    });
  }
  return finished.map((captions, image) => {
    if (done[image] !== true) {
      for (const beam of at(open, image)) captions.add(beam, beam.ids.length);
    }
    return captions.found
      .slice(0, count)
      .map(({ ids }) => (ids.length < maxTokens ? [...ids, endId] : [...ids]));
  });
}

/** A beam with one token more. */
interface Candidate {
  /** Which of the image's beams. */
  readonly from: number;
  readonly token: number;
  readonly score: number;
}

/** For each image the best 2·beams candidates, best first: so many do not end at least. */
function bestOf(
  writer: CaptionWriter,
  open: readonly (readonly Beam[])[],
  options: BeamSearchOptions,
): Candidate[][] {
  const { device } = writer;
  const beams = open.flat();
  const ids = tensor(
    beams.map((beam) => [...beam.ids]),
    { dtype: 'int64', device },
  );
  const logits = writer.next(ids);
  const scores = options.scores === 'logit' ? logits : logSoftmax(logits, 1);
  const sums = add(
    constrainLogits(scores, ids, options),
    tensor(
      beams.map(({ score }) => [score]),
      { device },
    ),
  );
  const vocabulary = logits.dim(1);
  const ranked = topk(reshape(sums, [open.length, -1]), 2 * options.beams);
  const rows = (all: Tensor) => all.toArray();
  const [values, positions] = [rows(ranked.values), rows(ranked.indices)];
  return open.map((_, image) =>
    Array.from({ length: 2 * options.beams }, (__, rank) => {
      const index = image * 2 * options.beams + rank;
      const position = at(positions, index);
      return {
        from: Math.floor(position / vocabulary),
        token: position % vocabulary,
        score: at(values, index),
      };
    }),
  );
}
