import type { AnsweredQuery } from '../eval/index.js';
import { naturalQueries } from './natural-queries.js';

/** What the quickstart trains, on what, and how: the one place to tune it. */
export interface QuickstartRecipe {
  readonly model: string;
  readonly data: string;
  /** Settings by name, as `--set` takes them; the others are `bantam train`'s defaults. */
  readonly settings: Readonly<Record<string, string>>;
  /** Evaluated on: see `bantam eval`. */
  readonly evaluation: string;
  /** Pictures that are embedded to be searched. */
  readonly index: string;
  /** Texts whose best pictures the report shows. */
  readonly queries: readonly string[];
  /** Searches that the evaluation judges. */
  readonly answered: readonly AnsweredQuery[];
}

/**
 * Tuned for five minutes on two cores. Two thousand concepts in four styles are few images, of which
 * a convolutional tower learns more than a ViT in the same time, with matrix units or without. Steps
 * count more than the size of a batch; captions are cut where few are longer. Augmentation and caption
 * recipe are the emoji data's own.
 */
export const quickstartRecipe: QuickstartRecipe = {
  model: 'ModifiedResNet-Nano-64',
  data: 'emoji?split=train',
  settings: {
    'tokenizer.contextLength': '16',
    'train.batchSize': '128',
    'train.lr': '6e-4',
    'train.checkpointMinutes': '1',
  },
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
  answered: naturalQueries,
};
