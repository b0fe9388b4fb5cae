/**
 * Are more samples worth more than more epochs? Trains on nested random subsets of product
 * photographs with equal samples seen: the penalty for repeated data of _Scaling (Down) CLIP_ (Li
 * et al. 2024, arXiv 2404.08197, first figure).
 *
 *     node recipes/quantity.js --products DIR [--seeds 3] [--epochs 1] [--out runs/quantity]
 *
 * DIR as in `quality.js`; the captions are the products' own. `--epochs` are those over the whole
 * pool; half of it is seen twice as often, and so on. It writes a study and carries it out
 * (docs/studies.md); finished runs are not repeated.
 */
import './shared/one-sentence.js';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { carryOut } from './shared/carry-out.js';
import { productData, productStudy } from './shared/products.js';

const { values } = parseArgs({
  options: {
    products: { type: 'string' },
    model: { type: 'string', default: 'ModifiedResNet-Nano-64' },
    seeds: { type: 'string', default: '3' },
    epochs: { type: 'string', default: '1' },
    fractions: { type: 'string', default: '0.5,0.25,0.125' },
    out: { type: 'string', default: 'runs/quantity' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});
const data = await productData(values.products, values.out);
const samples = Math.round(Number(values.epochs) * data.kinds.size);
const quantity = [1, ...values.fractions.split(',').map(Number)];
await carryOut(values, {
  ...productStudy(values, data),
  name: 'Quantity against repeats',
  data: data.whole,
  grids: [{ name: 'equal samples', axes: { quantity }, budget: [`${samples}samples`] }],
});
