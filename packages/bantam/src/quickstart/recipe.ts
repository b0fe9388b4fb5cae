import { emojiAugment, type ImageAugment } from '../data/index.js';

/** What the quickstart trains, on what, and how: the one place to tune it. */
export interface QuickstartRecipe {
  readonly model: string;
  readonly data: string;
  /** Settings by name, as `--set` takes them; the others are `bantam train`'s defaults. */
  readonly settings: Readonly<Record<string, string>>;
  readonly augment: ImageAugment;
  /** Evaluated on: see `bantam eval`. */
  readonly evaluation: string;
  /** Pictures that are embedded to be searched. */
  readonly index: string;
  /** Texts whose best pictures the report shows. */
  readonly queries: readonly string[];
}

/** Tuned on two cores with matrix units and five minutes; captions: the emoji data's own recipe. */
export const quickstartRecipe: QuickstartRecipe = {
  model: 'ViT-Nano-8-64',
  data: 'emoji?split=train',
  settings: {
    'train.batchSize': '256',
    'train.lr': '1e-3',
    'train.checkpointMinutes': '1',
    'tokenizer.vocabSize': '4096',
  },
  augment: emojiAugment,
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
