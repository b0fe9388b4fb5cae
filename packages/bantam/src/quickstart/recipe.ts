import type { TokenizerInput, TrainInput } from '../train/index.js';

/** What the quickstart trains, on what, and how: the one place to tune it. */
export interface QuickstartRecipe {
  readonly model: string;
  readonly data: string;
  /** Settings of training; the others have their defaults. */
  readonly train: TrainInput;
  /** Settings of the tokenizer; the others have their defaults. */
  readonly tokenizer: TokenizerInput;
  /** Evaluated on: see `bantam eval`. */
  readonly evaluation: string;
  /** Pictures that are embedded to be searched. */
  readonly index: string;
  /** Texts whose best pictures the report shows. */
  readonly queries: readonly string[];
}

/**
 * Tuned for five minutes on two cores with matrix units. Steps count more than the size of a batch
 * here, and samples more than the fineness of patches; captions are cut where few are longer.
 * Augmentation and caption recipe are the emoji data's own.
 */
export const quickstartRecipe: QuickstartRecipe = {
  model: 'ViT-Nano-16-64',
  data: 'emoji?split=train',
  train: { batchSize: 128, lr: 6e-4, checkpointMinutes: 1 },
  tokenizer: { contextLength: 16 },
  evaluation: 'emoji',
  index: 'emoji?style=noto&skin=default',
  queries: [
    'happy cat',
    'crying face',
    'red heart',
    'something to eat',
    'yellow fruit',
    'a flower',
    'farm animal',
    'rainy weather',
    'musical instrument',
    'sports ball',
    'a person running',
    'transport by water',
  ],
};
