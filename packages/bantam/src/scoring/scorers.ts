/** The scores to choose from, and their settings. */
import { didYouMean } from '../base/did-you-mean.js';
import { UsageError } from '../base/errors.js';
import { loadForInference, type InferenceModel } from '../eval/index.js';
import { weightsDigest } from '../models/index.js';
import { SourceDigest, type Source } from '../data/index.js';
import type { NormSimOrder } from './norm-sim.js';

/** Groups of scores by name, with the scores of each. */
export const scorers = {
  captions: ['words', 'characters', 'language'],
  images: ['width', 'height', 'aspect'],
  phash: ['phash'],
  similarity: ['similarity'],
  negCLIPLoss: ['negCLIPLoss'],
  normSim: ['normSim'],
  duplicates: ['duplicateOf'],
} as const;

/** A group of scores. */
export type ScorerName = keyof typeof scorers;

const scorerNames = Object.keys(scorers) as readonly ScorerName[];

/** Groups that need a model. */
const ofModels: readonly ScorerName[] = ['similarity', 'negCLIPLoss', 'normSim', 'duplicates'];

/** A model that scores, and facts of it that score files keep. */
export interface ScoringModel extends InferenceModel {
  /** Its directory. */
  readonly directory: string;
  /** Digest of its weights; see `weightsDigest`. */
  readonly weights: string;
}

/**
 * Loads a model to score with.
 *
 * @throws BantamError as `loadForInference`.
 */
export async function loadScoringModel(
  directory: string,
  options: Parameters<typeof loadForInference>[1] = {},
): Promise<ScoringModel> {
  const inference = await loadForInference(directory, options);
  return { ...inference, directory, weights: await weightsDigest(directory) };
}

export interface ScorerOptions {
  /** By default captions, images and phash, and with a model similarity. */
  readonly scores?: readonly string[];
  readonly model?: ScoringModel;
  /** Images that NormSim compares with. */
  readonly target?: Source;
  /** Norm of NormSim; `inf` by default. */
  readonly norm?: NormSimOrder;
  /** Pairs of a batch of negCLIPLoss; 32,768 by default, as in the paper. */
  readonly negatives?: number;
  /** Random divisions of negCLIPLoss; 10 by default, as in the paper. */
  readonly repetitions?: number;
  /** Seed of these divisions; 0 by default. */
  readonly seed?: number;
  /** Cosine from which on two images are duplicates; 0.95 by default, which is ours. */
  readonly cosine?: number;
  /** Records at a time; 256 by default. */
  readonly batchSize?: number;
}

/** {@link ScorerOptions} with defaults, checked. */
export interface ScoringPlan {
  readonly groups: ReadonlySet<ScorerName>;
  readonly model: ScoringModel | undefined;
  readonly target: Source | undefined;
  readonly norm: NormSimOrder;
  readonly negatives: number;
  readonly repetitions: number;
  readonly seed: number;
  readonly cosine: number;
  readonly batchSize: number;
}

/** @throws UsageError for an unknown score, or one without the model or target that it needs. */
export function planScores(options: ScorerOptions): ScoringPlan {
  const { model, target, scores } = options;
  const usual = ['captions', 'images', 'phash', ...(model === undefined ? [] : ['similarity'])];
  const groups = new Set((scores ?? usual).map(checkName));
  const needy = ofModels.find((name) => groups.has(name));
  if (needy !== undefined && model === undefined) {
    throw new UsageError(`The score "${needy}" needs a model; name one with --model DIR.`);
  }
  if (needy === undefined && model !== undefined) {
    throw new UsageError(
      `None of the scores ${[...groups].join(', ')} uses the model; leave it out or ask for ${ofModels.join(', ')}.`,
    );
  }
  if (groups.has('normSim') !== (target !== undefined)) {
    throw new UsageError(
      target === undefined
        ? 'The score "normSim" needs images to compare with; name them with --target SPEC.'
        : 'Only the score "normSim" uses a target; ask for it or leave the target out.',
    );
  }
  const { norm = 'inf', negatives = 32_768, repetitions = 10, seed = 0 } = options;
  const { cosine = 0.95, batchSize = 256 } = options;
  return { groups, model, target, norm, negatives, repetitions, seed, cosine, batchSize };
}

function checkName(name: string): ScorerName {
  const found = scorerNames.find((known) => known === name);
  if (found !== undefined) return found;
  throw new UsageError(
    `There is no score "${name}"${didYouMean(name, scorerNames)}; scores are ${scorerNames.join(', ')}.`,
  );
}

/** Names of the scores that a plan gives, in the order of a row. */
export function scoreNames({ groups }: ScoringPlan): string[] {
  const names = scorerNames.flatMap((name) => (groups.has(name) ? scorers[name] : []));
  return groups.has('negCLIPLoss') && !groups.has('similarity') ? ['similarity', ...names] : names;
}

/** All that the scores depend on beside the data; plain data. */
export function scoringSettings(plan: ScoringPlan): Record<string, string | number> {
  const { groups, model, target, norm, negatives, repetitions, seed, cosine, batchSize } = plan;
  return {
    ...(model !== undefined && {
      model: model.directory,
      weights: model.weights,
      precision: model.precision,
      batchSize,
    }),
    ...(target !== undefined && { target: target.spec, targetDigest: keyDigest(target), norm }),
    ...(groups.has('negCLIPLoss') && { negatives, repetitions, seed }),
    ...(groups.has('duplicates') && { cosine }),
    ...(groups.has('captions') && { languages: 'eld 2' }),
  };
}

function keyDigest(source: Source): string {
  const digest = new SourceDigest();
  for (let i = 0; i < source.size; i++) digest.add(source.record(i));
  return digest.value.slice(0, 16);
}
