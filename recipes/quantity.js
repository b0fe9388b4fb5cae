/**
 * Are more samples worth more than more epochs? Trains on nested random subsets of product
 * photographs with equal samples seen: the penalty for repeated data of _Scaling (Down) CLIP_ (Li
 * et al. 2024, arXiv 2404.08197, first figure).
 *
 *     node recipes/quantity.js --products DIR [--seeds 3] [--epochs 1] [--out runs/quantity]
 *
 * DIR as in `quality.js`; the captions are the products' own. `--epochs` are those over the whole
 * pool; half of it is seen twice as often, and so on. Finished runs are not repeated.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { armTable, trainArms } from './shared/arms.js';
import { productData, productTraining } from './shared/products.js';
import { runBantam } from './shared/runs.js';

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
const { out } = values;
const data = await productData(values.products, out);
const samples = Number(values.epochs) * data.kinds.size;
const arms = [{ name: `all, ${values.epochs} epochs`, data: data.whole, samples }];
for (const fraction of values.fractions.split(',').map(Number)) {
  const file = join(out, `random-${fraction}.txt`);
  const args = ['data', 'select', data.whole, '--random', String(fraction), '--out', file];
  const { status } = await runBantam(args, { log: join(out, `random-${fraction}.log`) });
  if (status !== 0) throw new Error(`Selecting failed, see random-${fraction}.log`);
  arms.push({
    name: `${100 * fraction} %, ${Number(values.epochs) / fraction} epochs`,
    data: `${data.whole}?subset=${encodeURIComponent(file)}`,
    samples,
  });
}
const options = productTraining(values, data);
await trainArms(arms, options);
console.log(armTable(arms, options));
