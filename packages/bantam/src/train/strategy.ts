import type { RandomStreams, Tensor } from '@bantam/torch';
import type { ImageAugment } from '../data/index.js';
import type { Clip } from '../models/index.js';

/** A batch on the device: one tensor of pixels per view of the image, and the captions' ids. */
export interface StepBatch {
  /** By view: normalised pixels, float32 [B, 3, H, W]. */
  readonly images: Readonly<Record<string, Tensor>>;
  /** int64 [B, L], cut to the longest caption of the batch. */
  readonly ids: Tensor;
}

/** What {@link Strategy.encode} works with. */
export interface EncodeContext {
  readonly model: Clip;
  /** Named random streams; what a strategy draws comes from `streams.get('mask')` and the like. */
  readonly streams: RandomStreams;
}

/** Tensors by name that the losses are computed from, each with one row per sample. */
export type Features = Readonly<Record<string, Tensor>>;

/** The losses of a step by name; the trainer minimises their sum. */
export type Losses = Readonly<Record<string, Tensor>>;

/**
 * How to train: which views of image and text, how features are computed, which losses apply.
 *
 * Features and losses are apart so that a trainer can compute features in pieces (gradient cache)
 * and the loss over all of them. The trainer never asks for a strategy's name.
 */
export interface Strategy {
  readonly name: string;
  /** The views of each image by name, each with its augmentation; the loader makes them. */
  views(augment: ImageAugment): Readonly<Record<string, ImageAugment>>;
  /** Runs under autocast. */
  encode(batch: StepBatch, context: EncodeContext): Features;
  /** Runs in float32. */
  losses(features: Features, model: Clip): Losses;
}
