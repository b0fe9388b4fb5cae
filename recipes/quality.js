/**
 * Is less but better data worth more? Spoils 40 % of the captions of a pool of product photographs,
 * scores the pool by two models, and trains on the best fractions of it, as the first figure on
 * quality of _Scaling (Down) CLIP_ (Li et al. 2024, arXiv 2404.08197) does with web data.
 *
 *     node recipes/quality.js --products DIR [--seeds 3] [--epochs 1] [--scorer clean] [--out runs/quality]
 *
 * DIR has `captions.csv` (image, caption) and `attributes.csv` (image, articleType) and the images.
 * The scorers: `dirty` is trained on the spoiled pool itself, `clean` on a small part of other
 * products with their own captions, as data filtering networks are (Fang et al. 2023, arXiv
 * 2309.17425). Prints how well each score, and their negCLIPLoss, find the spoiled captions; then
 * the models trained on the top 20 to 100 % by `--scorer`, with the same number of epochs over what
 * is kept, and with the same number of samples: a study (docs/studies.md), whose finished runs are not
 * repeated.
 */
import './shared/one-sentence.js';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { rocAuc, readScores, topFraction } from 'bantam/experimental';
import { carryOut } from './shared/carry-out.js';
import { damage, productData, productStudy } from './shared/products.js';
import { runBantam, settingArgs } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    products: { type: 'string' },
    model: { type: 'string', default: 'ModifiedResNet-Nano-64' },
    seeds: { type: 'string', default: '3' },
    epochs: { type: 'string', default: '1' },
    scorer: { type: 'string', default: 'clean' },
    fractions: { type: 'string', default: '0.2,0.4,0.6,0.8' },
    out: { type: 'string', default: 'runs/quality' },
    jobs: { type: 'string', default: String(availableParallelism()) },
    score: { type: 'boolean', default: false },
  },
});
const out = values.out;
const data = await productData(values.products, out);
const epochs = Number(values.epochs);
const size = data.kinds.size;
const study = productStudy(values, data);

/** Runs a command; returns its JSON. */
async function bantam(args, log) {
  const { status, output } = await runBantam([...args, '--json'], { log: join(out, `${log}.log`) });
  if (status !== 0) throw new Error(`bantam ${args.slice(0, 2).join(' ')} failed, see ${log}.log`);
  return JSON.parse(output);
}

// The scorers: one of the whole pool, and one of the clean part that saw as many samples.
const scorers = { dirty: data.pool, clean: data.clean };
const tables = new Map();
for (const [name, spec] of Object.entries(scorers)) {
  const file = join(out, `${name}.jsonl`);
  if (!existsSync(file)) {
    const run = join(out, `scorer-${name}`);
    const { model, ...settings } = study.run;
    const training = ['--model', model, '--data', spec, '--budget', `${epochs * size}samples`];
    if (!existsSync(join(run, 'model'))) {
      await bantam(['train', ...training, '--out', run, ...settingArgs(settings)], `train-${name}`);
    }
    const scores = 'captions,similarity,negCLIPLoss';
    const args = ['data', 'score', data.pool, '--out', file, '--model', join(run, 'model')];
    await bantam([...args, '--scores', scores], `score-${name}`);
  }
  tables.set(name, await readScores(file));
}
console.log(finding());
if (values.score) process.exit(0);

const quality = [1, ...values.fractions.split(',').map(Number)];
await carryOut(values, {
  ...study,
  name: 'Quality',
  data: data.pool,
  scores: { file: join(out, `${values.scorer}.jsonl`), score: 'similarity' },
  grids: [
    { name: `${epochs} epochs over what is kept`, axes: { quality }, epochs: [epochs] },
    { name: 'equal samples', axes: { quality }, budget: [`${epochs * size}samples`] },
  ],
});

/** How well scores find spoiled captions, as a Markdown table. */
function finding() {
  const rows = [];
  for (const [name, { keys, numbers }] of tables) {
    for (const score of ['similarity', 'negCLIPLoss']) {
      const scored = numbers.get(score);
      const kinds = keys.map((key) => data.kinds.get(key));
      const auc = (kind) => {
        const own = Float64Array.from(scored, (value, i) =>
          kinds[i] === 'good' || kinds[i] === kind || kind === 'all' ? value : NaN,
        );
        const isGood = kinds.map((one) => one === 'good');
        return rocAuc(own, isGood).toFixed(3);
      };
      const precision = [0.2, 0.4, 0.6, 0.8].map((fraction) => {
        const mask = topFraction(scored, { keys, fraction });
        const top = kinds.filter((_, i) => mask[i] === 1);
        return `${((100 * top.filter((kind) => kind === 'good').length) / top.length).toFixed(1)} %`;
      });
      const aucs = ['all', ...damage.map(([kind]) => kind)].map(auc);
      rows.push(`| ${[`${name}, ${score}`, ...aucs, ...precision].join(' | ')} |`);
    }
  }
  const heads = [
    'score',
    'ROC AUC',
    ...damage.map(([kind, fraction]) => `${kind} (${Math.round(100 * fraction)} %)`),
    ...['top 20 %', '40 %', '60 %', '80 %'].map((top) => `good in ${top}`),
  ];
  return [`| ${heads.join(' | ')} |`, `|${heads.map(() => ' --- |').join('')}`, ...rows].join('\n');
}
