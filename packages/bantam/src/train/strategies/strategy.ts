import type {
  FloatDType,
  Generator,
  GroupRule,
  Module,
  NamePattern,
  RandomStreams,
  Tensor,
} from '@bantam/torch';
import type { ImageAugment, Quarantine, Replay, Replayed, Source } from '../../data/index.js';
import type { Fields } from '../../base/fields.js';
import type { Clip, LoadedModel, ModelConfig, Preprocess } from '../../models/index.js';
import type { Phase } from './phases.js';
import type { ReinforcedSet } from '../teachers/reinforced-set.js';

/** Samples on the device: one tensor of pixels per view of the image, and the captions' ids. */
export interface StepBatch {
  /** By view: normalised pixels, float32 [B, 3, H, W]. */
  readonly images: Readonly<Record<string, Tensor>>;
  /** int64 [B, L], cut to the longest caption. */
  readonly ids: Tensor;
  readonly captions: readonly string[];
  /** Which samples of the source they are. */
  readonly indices: Int32Array;
  /** Which of the views and captions of {@link Strategy.replay} they are. */
  readonly replayed?: Replayed;
}

/** The samples that are contrasted with each other in one step. */
export interface Samples {
  /** Records of the source. */
  readonly indices: Int32Array;
  readonly captions: readonly string[];
  readonly epoch: number;
}

/** What {@link Strategy.encode} works with. */
export interface EncodeContext {
  readonly model: Clip;
  /** Named random streams; what a strategy draws comes from `streams.get('mask')` and the like. */
  readonly streams: RandomStreams;
  readonly phase: Phase;
}

/** What {@link Strategy.losses} works with. */
export interface LossContext {
  readonly model: Clip;
  readonly samples: Samples;
  /** Number of this step, from 1. */
  readonly step: number;
  /** Share of the budget used before this step, 0 … 1. */
  readonly progress: number;
  /** The type in which layers of the strategy's own may compute, under `autocast`. */
  readonly precision: FloatDType;
}

/** Tensors by name that the losses are computed from, each with one row per sample. */
export type Features = Readonly<Record<string, Tensor>>;

/** The losses of a step by name, scalars; the trainer minimises their sum. */
export type Losses = Readonly<Record<string, Tensor>>;

/** What {@link Strategy.prepare} works with. */
export interface PrepareContext {
  readonly model: Clip;
  readonly source: Source;
  readonly preprocess: Preprocess;
  readonly precision: FloatDType;
  /** The most pictures that are encoded at once. */
  readonly batchSize: number;
  /** Where pictures that cannot be read are counted. */
  readonly quarantine: Quarantine;
  /** Leaves records of the source out of the training. */
  readonly exclude: (indices: Iterable<number>) => void;
  /** Stops early, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Hears what is being done, in words. */
  readonly onProgress: (message: string) => void;
}

/**
 * How to train: which views of image and text, how features are computed, which losses apply.
 *
 * Features and losses are apart, so that the trainer can compute features in pieces and the losses
 * over all of them (gradient cache). The trainer never asks for a strategy's name.
 */
export interface Strategy extends Partial<Disposable> {
  /** Weights and running estimates of its own, trained and saved beside the model's; null: none. */
  readonly module: Module | null;
  /** How {@link module}'s parameters are optimised; the default decay rules follow. */
  readonly rules?: readonly GroupRule[];
  /** Names of the model's parameters that stay as they are. */
  readonly frozen?: readonly NamePattern[];
  /** The parts of a training in order; their shares of the budget add up to 1. */
  readonly phases: readonly Phase[];
  /** The views of each image by name, each with its augmentation; without any, none is read. */
  views(augment: ImageAugment): Readonly<Record<string, ImageAugment>>;
  /** Which views and captions of the samples come again and again; without it, ever new ones come. */
  readonly replay?: Replay;
  /** Runs once before training, on a new model or a resumed one. */
  prepare?(context: PrepareContext): Promise<void>;
  /** Bytes that {@link prepare} keeps of each picture, as it encodes them all; without it, it encodes none. */
  readonly storedBytes?: number;
  /** Runs under autocast. */
  encode(batch: StepBatch, context: EncodeContext): Features;
  /**
   * Tensors without gradient that the losses compare features with, such as a teacher's; they are
   * added to the features under names of their own. Runs under autocast, once for each piece of a
   * batch, also where {@link encode} runs twice.
   */
  targets?(batch: StepBatch, context: EncodeContext): Features;
  /** Runs in float32, once for each contrastive batch; features hold the targets, too. */
  losses(features: Features, context: LossContext): Losses;
  /** The sum of the losses where all features are equal: what a collapsed model stays at; else null. */
  collapsed(batch: number, model: Clip): number | null;
  /** Runs after the optimizer's step, without gradients: keeps its own weights in their bounds. */
  afterStep?(): void;
  /**
   * Runs in place of {@link afterStep} where loss or gradient are not finite: forgets what waits for
   * the step. The trainer gives {@link module}'s buffers the values back that they had before.
   */
  afterSkip?(): void;
  /** Floating-point operations of a training step per sample, forward and backward. */
  flops(model: ModelConfig, cost: CostOptions): number;
}

/** What {@link Strategy.flops} depends on beside the model. */
export interface CostOptions {
  /** Tokens of the caption. */
  readonly captionTokens: number;
  readonly phase: Phase;
  /** Forward passes of the towers for one backward pass: 2 with a gradient cache, else 1. */
  readonly forwardPasses: number;
  /** Whether the backward pass computes the activations of trained towers again. */
  readonly recomputed: boolean;
}

/** What a strategy is made for. */
export interface StrategyOptions {
  readonly model: ModelConfig;
  /** Samples of the source. */
  readonly samples: number;
  /** How the pictures of the run are prepared. */
  readonly preprocess: Preprocess;
  /** The models in the directories of {@link StrategyKind.models}, in evaluation mode; the run's own. */
  readonly models: readonly LoadedModel[];
  /** The set in the folder of {@link StrategyKind.reinforced}; the run's own. */
  readonly reinforced: ReinforcedSet | null;
  /** Which towers start from trained weights. */
  readonly trained: { readonly image: boolean };
  /** Draws the initial weights of the strategy's own modules. */
  readonly generator: Generator;
}

/** A kind of strategy: its settings with their defaults, and how they become one. */
export interface StrategyKind<Settings extends object = object> {
  /** The value of `type` in its settings. */
  readonly type: string;
  readonly fields: Fields<Settings>;
  /** The augmentation in place of the source's own; undefined: the source's. */
  augment?(settings: Settings): ImageAugment;
  /** The model's configuration as the strategy needs it, such as a bias of the logits. */
  adapt?(model: ModelConfig, settings: Settings): ModelConfig;
  /** Directories of trained models that the strategy works with, such as teachers. */
  models?(settings: Settings): readonly string[];
  /** The folder of a reinforced set that the strategy learns from; empty: none. */
  reinforced?(settings: Settings): string;
  /** @throws BantamError where model and settings do not go together. */
  create(settings: Settings, options: StrategyOptions): Strategy;
}
