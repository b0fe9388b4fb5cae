/**
 * Facts that the planner starts from, each with its source: how samples, repeats, batches, augmentation,
 * strategies and quality act on the learning curve of a small CLIP. Pilots of a plan overrule them.
 */
import { taskOfMetric } from '../config/metrics.js';

/** A number that is known about: mean and standard deviation. */
export interface Belief {
  readonly mean: number;
  readonly sd: number;
}

/** The part of the prior that all candidates have in common. */
export interface SharedPrior {
  /** ln s of the reference model, the effective samples at which learning sets in. */
  readonly lnScale: Belief;
  /** ln c and ln k of the curve. */
  readonly lnOnset: Belief;
  readonly lnTail: Belief;
  /** logit of the floor E∞ of the reference model. */
  readonly logitFloor: Belief;
  /** ln R* without augmentation. */
  readonly lnRepeats: Belief;
  /** E₀ = 1 − chance. */
  readonly start: number;
}

/** The part of the prior that is one candidate's own. */
export interface CandidatePrior {
  /** Candidates of one model share what is unknown of it. */
  readonly model: string;
  /** Samples of a step; 0 where steps are so many that their number does not matter. */
  readonly batch: number;
  /** ln of its scale relative to the reference model's; the deviation of its model, and its own. */
  readonly lnScale: number;
  readonly modelSd: number;
  readonly ownSd: number;
  /** Added to ln R*. */
  readonly lnRepeats: number;
  /** Multiplier of the floor. */
  readonly floor: number;
}

/**
 * R* is 6.5 in the first figure of Scaling (Down) CLIP (Li et al. 2024; docs/studies.md), and 6 to 8 on the
 * products (docs/log.md).
 */
const lnRepeats: Belief = { mean: Math.log(6.5), sd: 0.3 };

/**
 * c = 2.4 and k = 0.28 describe retrieval by six models on product photographs after 30 and 120 seconds of
 * one thread (docs/planner.md), with a scale of each alone.
 */
const retrieval = {
  lnOnset: { mean: Math.log(2.4), sd: 0.2 },
  lnTail: { mean: Math.log(0.28), sd: 0.25 },
  logitFloor: { mean: -3, sd: 1.2 },
} as const;

/**
 * Accuracy rises from chance with the first samples, and slowly: c = 0.7 and k = 0.5 describe three lengths
 * on the products' 58 types, and two on Tiny ImageNet's 200 classes (docs/planner.md).
 */
const classification = {
  lnOnset: { mean: Math.log(0.7), sd: 0.2 },
  lnTail: { mean: Math.log(0.5), sd: 0.3 },
  logitFloor: { mean: -0.6, sd: 1 },
} as const;

/**
 * Samples at which the reference model begins to find images among 1,000 at rank 10 or better: 2,300 on
 * products, 12,000 on emoji (docs/planner.md). No number suits both data sets: this one is between the two.
 */
const retrievalScale = 3500;

/**
 * Steps that samples are worth little in: S steps teach S/(S + 30) of what their samples would in many.
 * With it, runs of 23, 136 and 245 steps on products, and of 59 and 234, have scales within 15 % of each
 * other (docs/planner.md).
 */
export const warmSteps = 30;

/**
 * Samples of a class at which the reference model begins to tell it from others: 40 by types of products,
 * which their titles name, 130 on CIFAR-10, 250 on emoji, 630 on Tiny ImageNet (docs/planner.md).
 */
const samplesPerClass = 170;

/** The k of a recall at k. */
export function rankOf(metric: string): number | undefined {
  const [, rank] = /@(\d+)$/.exec(metric) ?? [];
  return rank === undefined ? undefined : Number(rank);
}

/** Data that a metric is measured on. */
export interface MeasuredOn {
  /** Images among which retrieval searches. */
  readonly images: number;
  /** Classes; 0: none. */
  readonly classes: number;
  readonly chance: number;
}

/**
 * The shared part for a metric. Rank 1 needs about ten times the samples of rank 10 (the emoji of
 * docs/log.md: R@1 and R@10 of equal runs), and more images make ranks harder. Accuracy needs samples of
 * each class.
 */
export function sharedPrior(metric: string, { images, classes, chance }: MeasuredOn): SharedPrior {
  const start = 1 - Math.min(0.95, chance);
  if (taskOfMetric(metric) === 'retrieval') {
    // The mean of reciprocal ranks is between those of 1 and 10.
    const harder =
      Math.log(10 / (rankOf(metric) ?? 3)) + 0.6 * Math.log(Math.max(20, images) / 1000);
    const lnScale = { mean: Math.log(retrievalScale) + harder, sd: 0.9 };
    return { ...retrieval, lnRepeats, lnScale, start };
  }
  const lnScale = { mean: Math.log(samplesPerClass * Math.max(2, classes)), sd: 1.2 };
  return { ...classification, lnRepeats, lnScale, start };
}

/**
 * The part of a floor that falls with the model's size. ModifiedResNet of width 64, 3.7 times the FLOPs of
 * `ModifiedResNet-Nano-64`, was 2.3 and 3.0 points ahead after 9,408 and 14,080 samples on products and level
 * after 13,952 on Tiny ImageNet; this part predicts 3.0, 2.4 and 1.2 (docs/planner.md).
 */
const sizedFloor = 0.25;

/**
 * A part of floors falls with the model's size as g^−0.28: the term of size of an additive law fitted to
 * CLIP on DataComp-1.4B (Nezhurina et al. 2025, arXiv 2506.04598).
 */
export function floorMultiplier(flops: number, reference: number): number {
  return 1 - sizedFloor + sizedFloor * (flops / reference) ** -0.279;
}

/**
 * ln of the scale in samples by the batch, beside what {@link warmSteps} say. Batches of 256 instead of 128
 * needed 1.5 times the samples on products at one learning rate (docs/log.md); the rate that grows with the
 * root of the batch gives a part of it back.
 */
export function lnScaleOfBatch(batch: number): number {
  return 0.28 * Math.max(0, Math.log2(batch / 128));
}

/** Peak learning rate: that of the quickstart at a batch of 128, with the root of the batch. */
export function learningRate(batch: number): number {
  return Number((6e-4 * Math.sqrt(batch / 128)).toPrecision(2));
}

/** Effect of a choice on the curve. */
export interface Effect {
  /** ln of the multiplier of the scale in samples. */
  readonly lnScale: number;
  /** ln of the multiplier of R*. */
  readonly lnRepeats: number;
}

/**
 * Augmentation: learning sets in later, and repeats stay worth more. The delays of crop and flip and of
 * RandAugment are between those of 6 and 12 epochs on products, 0.8 and 1.3 (docs/log.md), and those of
 * CIFAR-10, 0.6 and 1.1; R* is such that after 30 epochs RandAugment stands for half of the data, and crop
 * and flip for a third, as over 10M to 100M pairs (Li et al. 2024).
 */
export const augmentEffects = {
  none: { lnScale: 0, lnRepeats: 0 },
  photo: { lnScale: 0.1, lnRepeats: 0.15 },
  'crop-flip': { lnScale: 0.75, lnRepeats: Math.log(20 / 6.5) },
  'rand-augment': { lnScale: 1.2, lnRepeats: Math.log(100 / 6.5) },
  own: { lnScale: 0.5, lnRepeats: 0.3 },
} as const satisfies Readonly<Record<string, Effect>>;

/**
 * Strategies that cost less than CLIP: a sample teaches a little less. At equal time FLIP and CLIPA
 * with a ViT were ahead of CLIP in retrieval on the emoji (docs/strategies.md). On products CLIPA's whole
 * phase was too short for what its small images had not taught: five times the samples (docs/studies.md).
 */
export const strategyEffects = {
  clip: { lnScale: 0, lnRepeats: 0 },
  flip: { lnScale: 0.2, lnRepeats: 0.2 },
  clipa: { lnScale: 0.9, lnRepeats: 0.2 },
} as const satisfies Readonly<Record<string, Effect>>;

/** Strategies that are not candidates, and why. */
export const otherStrategies = [
  {
    name: 'slip',
    reason:
      'a sample costs 2.8 times as much, and SLIP is ahead of CLIP at equal samples but not at equal cost (Scaling (Down) CLIP, Li et al. 2024)',
  },
  {
    name: 'lit, distill, siclip',
    reason: 'they need a trained model to start from',
  },
] as const;

/**
 * ln of the multiplier of the scale if only the fraction of the data with the highest scores is kept: errors
 * at equal samples of Scaling (Down) CLIP (Li et al. 2024), in samples by the slope of its B/32.
 * Zero-shot is best with 40 %, retrieval with 80 %.
 */
const qualityEffects = {
  retrieval: { 1: 0, 0.8: -0.4, 0.6: -0.2, 0.4: 0.25 },
  other: { 1: 0, 0.8: -0.3, 0.6: -0.85, 0.4: -1.1 },
} as const;

/** Kept fractions that are candidates. */
export const keptFractions = [1, 0.8, 0.6, 0.4] as const;

/** A kept fraction. */
export type KeptFraction = (typeof keptFractions)[number];

/** ln of the multiplier of the scale of a kept fraction. */
export function lnScaleOfQuality(fraction: KeptFraction, metric: string): number {
  const task = taskOfMetric(metric) === 'retrieval' ? 'retrieval' : 'other';
  return qualityEffects[task][fraction];
}
