/**
 * Questions of _Scaling (Down) CLIP_ (Li et al. 2024, arXiv 2404.08197) on product photographs, each a grid of
 * one study: which size for how many different pairs and for how many samples, which tower, which strategy
 * at equal samples and at equal FLOPs, and whether augmentation makes half of the data worth all of it.
 *
 *     node recipes/paper.js --products DIR [--question towers]… [--seeds 3] [--out runs/paper]
 *
 * DIR as in `quality.js`; the captions are the products' own. `quantity.js` and `quality.js` ask the
 * questions of data, `robustness.js` those of other domains. Finished runs are not repeated.
 */
import './shared/one-sentence.js';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { carryOut } from './shared/carry-out.js';
import { productData, productStudy } from './shared/products.js';
import { smallResNet } from './shared/small-resnet.js';

/** @typedef {Omit<import('bantam').StudyOptions['grids'][number], 'name'>} Question */

/**
 * The questions; samples are named in epochs of all pairs.
 *
 * @type {Record<string, (samples: (epochs: number) => string) => Question>}
 */
const questions = {
  // Small models for small data: at 340 epochs of 10M pairs S/16 is as good as L/16.
  'sizes by pairs': (samples) => ({
    axes: {
      quantity: [1, 0.5, 0.25, 0.125],
      variants: [
        { name: 'small', run: { model: smallResNet } },
        { name: 'Nano', run: {} },
      ],
    },
    budget: [samples(3)],
  }),
  // Convolutions ahead where samples are few, transformers where they are many; MLPs behind both.
  towers: (samples) => ({
    axes: {
      variants: [
        { name: 'ModifiedResNet-Nano-64', run: {} },
        { name: 'a small ModifiedResNet', run: { model: smallResNet } },
        { name: 'ViT-Nano-16-64', run: { model: 'ViT-Nano-16-64' } },
        { name: 'Mixer-Nano-64', run: { model: 'Mixer-Nano-64' } },
      ],
    },
    budget: [samples(1), samples(3), samples(6)],
  }),
  augmentation: (samples) => ({
    axes: {
      quantity: [1, 0.5],
      variants: [{ name: 'small', run: { model: smallResNet } }],
      augment: ['none', 'crop-flip', 'rand-augment'],
    },
    budget: [samples(6)],
  }),
  // Masks need patches.
  strategies: (samples) => ({
    axes: { model: ['ViT-Nano-16-64'], strategy: ['clip', 'flip', 'clipa', 'slip'] },
    budget: [samples(1), samples(4)],
  }),
  'strategies at equal FLOPs': () => ({
    axes: { model: ['ViT-Nano-16-64'], strategy: ['clip', 'flip', 'clipa', 'slip'] },
    budget: ['1.7e13flops'],
  }),
};

const { values } = parseArgs({
  options: {
    products: { type: 'string' },
    question: { type: 'string', multiple: true, default: Object.keys(questions) },
    model: { type: 'string', default: 'ModifiedResNet-Nano-64' },
    seeds: { type: 'string', default: '3' },
    out: { type: 'string', default: 'runs/paper' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});
for (const name of values.question) {
  if (Object.hasOwn(questions, name)) continue;
  throw new Error(`No question "${name}"; there are ${Object.keys(questions).join(', ')}.`);
}
const data = await productData(values.products, values.out);
const samples = (epochs) => `${epochs * data.kinds.size}samples`;
const grids = values.question.map((name) => ({ name, ...questions[name](samples) }));
await carryOut(values, {
  ...productStudy(values, data),
  name: 'Questions of the paper',
  data: data.whole,
  grids,
});
