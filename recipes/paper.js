/**
 * Questions of _Scaling (Down) CLIP_ (Li et al. 2024, arXiv 2404.08197) on product photographs, each a grid of
 * one study: which tower for how many samples, which strategy at equal samples and at equal FLOPs,
 * and whether augmentation makes half of the data worth all of it.
 *
 *     node recipes/paper.js --products DIR [--question towers]… [--seeds 3] [--out runs/paper]
 *
 * DIR as in `quality.js`; the captions are the products' own. `quantity.js` and `quality.js` ask the
 * questions of data. Finished runs are not repeated.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { carryOut, productData, productStudy } from './shared/products.js';

/** @type {Record<string, Omit<import('bantam').StudyOptions['grids'][number], 'name'>>} */
const questions = {
  // Convolutions ahead where samples are few, transformers where they are many; MLPs behind both.
  towers: {
    axes: { model: ['ModifiedResNet-Nano-64', 'ViT-Nano-16-64', 'Mixer-Nano-64'] },
    budget: ['6ksamples', '18ksamples', '54ksamples'],
  },
  augmentation: {
    axes: { quantity: [1, 0.5], augment: ['none', 'crop-flip', 'rand-augment'] },
    budget: ['36ksamples'],
  },
  // Masks need patches.
  strategies: {
    axes: { model: ['ViT-Nano-16-64'], strategy: ['clip', 'flip', 'clipa', 'slip'] },
    budget: ['18ksamples', '36ksamples'],
  },
  'strategies at equal FLOPs': {
    axes: { model: ['ViT-Nano-16-64'], strategy: ['clip', 'flip', 'clipa', 'slip'] },
    budget: ['2.5e13flops'],
  },
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
const grids = values.question.map((name) => {
  const question = questions[name];
  if (question === undefined) {
    throw new Error(`No question "${name}"; there are ${Object.keys(questions).join(', ')}.`);
  }
  return { name, ...question };
});
const data = await productData(values.products, values.out);
await carryOut(values, {
  ...productStudy(values, data),
  name: 'Questions of the paper',
  data: data.whole,
  grids,
});
