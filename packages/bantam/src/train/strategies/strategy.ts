/** The interface between the training loop and a strategy. */
import type {
  FloatDType,
  Generator,
  GroupRule,
  Module,
  NamePattern,
  RandomStreams,
  Tensor,
} from '@bantam/torch';
import type * as v from 'valibot';
import type { DeepReadonly } from '../../base/readonly.js';
import type { Entries, Group } from '../../base/schema.js';
import type { ImageAugment, Quarantine, Replay, Replayed, Source } from '../../data/index.js';
import type {
  Clip,
  LoadedModel,
  ModelConfig,
  Preprocess,
  TrainedCosts,
} from '../../models/index.js';
import type { ReinforcedSet } from '../teachers/reinforced-set.js';
import type { Phase } from './phases.js';

/** Samples on the device: one tensor of pixels per view of the image, and the captions' ids. */
export interface StepBatch {
  /** By view: normalised pixels, float32 [B, 3, H, W]. */
  readonly images: Readonly<Record<string, Tensor>>;
  /** int64 [B, L], cut to the longest caption. */
  readonly ids: Tensor;
  readonly captions: readonly string[];
  /** Index of each sample in the source. */
  readonly indices: Int32Array;
  /** Which of the views and captions of {@link Strategy.replay} they are. */
  readonly replayed?: Replayed;
}

/** The samples that are contrasted with each other in one step. */
export interface Samples {
  /** Index of each record in the source. */
  readonly indices: Int32Array;
  readonly captions: readonly string[];
  readonly epoch: number;
}

/** Inputs of a strategy's computations in one step. */
export interface StepContext {
  readonly model: Clip;
  /** Named random streams; a strategy samples from `streams.get('mask')` and the like. */
  readonly streams: RandomStreams;
  readonly phase: Phase;
  readonly samples: Samples;
  /** Number of this step, from 1. */
  readonly step: number;
  /** Fraction of the budget used before this step, 0 … 1. */
  readonly progress: number;
  /** The type in which the strategy's own layers may compute, under `autocast`. */
  readonly precision: FloatDType;
}

/** Tensors by name that the losses are computed from, each with one row per sample. */
export type Features = Readonly<Record<string, Tensor>>;

/** The losses of a step by name, scalars; the trainer minimises their sum. */
export type Losses = Readonly<Record<string, Tensor>>;

/** Inputs of {@link Strategy.prepare}. */
export interface PrepareContext {
  readonly model: Clip;
  readonly source: Source;
  readonly preprocess: Preprocess;
  readonly precision: FloatDType;
  /** The most images that are encoded at once. */
  readonly batchSize: number;
  /** Counts images that cannot be read. */
  readonly quarantine: Quarantine;
  /** Leaves records of the source out of the training. */
  readonly exclude: (indices: Iterable<number>) => void;
  /** Stops early, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Receives a message for people about the progress. */
  readonly onProgress: (message: string) => void;
}

/**
 * How to train: which views of image and text, how features are computed, which losses apply.
 *
 * Features and losses are apart, so that the trainer can compute features in micro-batches and the
 * losses over all of them (gradient cache). The trainer never asks for a strategy's name.
 */
export interface Strategy extends Partial<Disposable> {
  /** Weights and running estimates of its own, trained and saved beside the model's; null: none. */
  readonly module: Module | null;
  /** How {@link module}'s parameters are optimised; the default decay rules follow. */
  readonly rules?: readonly GroupRule[];
  /** Names of the model's parameters that are frozen. */
  readonly frozen?: readonly NamePattern[];
  /** The parts of a training in order; their fractions of the budget add up to 1. */
  readonly phases: readonly Phase[];
  /** The views of each image by name, each with its augmentation; without any, no image is read. */
  views(augment: ImageAugment): Readonly<Record<string, ImageAugment>>;
  /** The views and captions of each sample that repeat; without it, new ones are made every epoch. */
  readonly replay?: Replay;
  /** Runs once before training, on a new model or a resumed one. */
  prepare?(context: PrepareContext): Promise<void>;
  /** Bytes that {@link prepare} keeps of each image, as it encodes them all; absent: it encodes none. */
  readonly storedBytes?: number;
  /** Runs under autocast. */
  encode(batch: StepBatch, context: StepContext): Features;
  /**
   * Tensors without gradient that the losses compare features with, such as a teacher's; they are
   * added to the features under names of their own. Runs under autocast, once for each micro-batch,
   * also where {@link encode} runs twice.
   */
  targets?(batch: StepBatch, context: StepContext): Features;
  /** Runs in float32, once for each contrastive batch; features hold the targets, too. */
  losses(features: Features, context: StepContext): Losses;
  /** The sum of the losses if all features are equal, where a collapsed model stays; else null. */
  collapsed(batch: number, model: Clip): number | null;
  /** Runs after the optimizer's step, without gradients: keeps its own weights in their bounds. */
  afterStep?(): void;
  /**
   * Runs in place of {@link afterStep} if the loss or the gradient is not finite: drops what waits for
   * the step. The trainer gives {@link module}'s buffers the values back that they had before.
   */
  afterSkip?(): void;
  /** FLOPs of a training step per sample, forward and backward. */
  flops(model: ModelConfig, cost: CostOptions): number;
}

/** The training step that {@link Strategy.flops} counts. */
export interface CostOptions {
  /** Tokens of the caption. */
  readonly captionTokens: number;
  readonly phase: Phase;
  /** Forward passes of the towers for one backward pass: 2 with a gradient cache, else 1. */
  readonly forwardPasses: number;
  /** True if the backward pass computes the activations of trained towers again. */
  readonly recomputed: boolean;
  /** Costs of the weights that learn; default: all do. */
  readonly trained?: TrainedCosts | undefined;
}

/** Everything that a strategy is created from, beside its settings. */
export interface StrategyContext {
  readonly model: ModelConfig;
  /** Samples of the source. */
  readonly samples: number;
  /** Preparation of the run's images. */
  readonly preprocess: Preprocess;
  /** Teachers in evaluation mode, in the order of the settings; the run owns them. */
  readonly models: readonly LoadedModel[];
  /** The reinforced data set of the settings; the run owns it. */
  readonly reinforced: ReinforcedSet | null;
  /** Towers that start from trained weights. */
  readonly trained: { readonly image: boolean };
  /** Initialises the strategy's own modules. */
  readonly generator: Generator;
}

/** Schema of a strategy's settings, told apart by `type`. */
export type StrategySchema = Group<Entries & { readonly type: v.LiteralSchema<string, undefined> }>;

/** Settings of a strategy with that schema. */
export type StrategySettings<S extends StrategySchema> = DeepReadonly<v.InferOutput<S>>;

/** A strategy: the schema of its settings, and how it is created from them. */
export interface StrategyKind<S extends StrategySchema = StrategySchema> {
  readonly schema: S;
  /** The augmentation in place of the source's own. Default: the source's. */
  augment?(settings: StrategySettings<S>): ImageAugment;
  /** @throws BantamError if the model and the settings do not fit together. */
  create(settings: StrategySettings<S>, context: StrategyContext): Strategy;
}

/** Declares a strategy; the types of its settings come from the schema. */
export function defineStrategy<const S extends StrategySchema>(
  kind: StrategyKind<S>,
): StrategyKind<S> {
  return kind;
}
