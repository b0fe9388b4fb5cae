/**
 * Are models that are better on the images they know better on others? Trains towers for several lengths,
 * with and without augmentation, and measures them in and out of distribution: on PACS (Li et al. 2017,
 * arXiv 1710.03077) training on photographs and measuring on held-out ones, art, cartoons and sketches; on
 * the emoji training on four styles and measuring on two others. The report draws effective robustness
 * (docs/studies.md).
 *
 *     node recipes/robustness.js --pacs DIR [--data pacs|emoji] [--seeds 3] [--out runs/robustness]
 *
 * DIR has a folder for each domain, in it one for each class: `photo/dog/*.jpg`. Finished runs are not
 * repeated.
 */
import './shared/one-sentence.js';
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openSource } from 'bantam';
import { uniformOfKey } from 'bantam/experimental';
import { carryOut } from './shared/carry-out.js';
import { smallResNet } from './shared/small-resnet.js';

const { values } = parseArgs({
  options: {
    pacs: { type: 'string' },
    data: { type: 'string', multiple: true, default: ['pacs', 'emoji'] },
    seeds: { type: 'string', default: '3' },
    out: { type: 'string', default: 'runs/robustness' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});

const towers = [
  { name: 'ModifiedResNet-Nano-64', run: {} },
  { name: 'a small ModifiedResNet', run: { model: smallResNet } },
  { name: 'ViT-Nano-16-64', run: { model: 'ViT-Nano-16-64' } },
];

/** Domains of PACS that no model is trained on. */
const unknown = ['art-painting', 'cartoon', 'sketch'];

/** Photographs to train on, and a fifth of them held out. */
async function pacsStudy(out) {
  const folder = (domain) => `folder:${resolve(values.pacs, domain)}`;
  // Before anything is trained, so that a missing domain is told at once.
  for (const domain of unknown) await openSource(folder(domain));
  const photos = await openSource(folder('photo'));
  const keys = Array.from({ length: photos.size }, (_, i) => photos.record(i).key);
  const isHeldOut = (key) => uniformOfKey(key, { seed: 0, purpose: 'held-out photos' }) < 0.2;
  const subset = (name, chosen) => {
    const file = join(out, `${name}.txt`);
    writeFileSync(file, `${chosen.join('\n')}\n`);
    return `${folder('photo')}?subset=${file}`;
  };
  const metrics = ['acc1'];
  return {
    data: subset(
      'train',
      keys.filter((key) => !isHeldOut(key)),
    ),
    grids: [
      {
        name: 'towers and augmentation',
        axes: { variants: towers, augment: ['none', 'rand-augment'] },
        budget: ['3ksamples', '9ksamples'],
      },
    ],
    measure: [
      {
        name: 'photo',
        data: subset('held-out', keys.filter(isHeldOut)),
        kind: 'in-distribution',
        metrics,
      },
      ...unknown.map((domain) => ({
        name: domain,
        data: folder(domain),
        kind: 'out-of-distribution',
        metrics,
      })),
    ],
  };
}

function emojiStudy() {
  const metrics = ['acc1', 'image_retrieval_recall@10'];
  const style = (name, kind) => ({
    name,
    data: `emoji?style=${name}&skin=default`,
    kind,
    metrics,
  });
  return {
    data: 'emoji?split=train',
    grids: [
      {
        name: 'towers',
        axes: { variants: towers },
        budget: ['8ksamples', '24ksamples'],
      },
    ],
    measure: [
      style('twemoji', 'in-distribution'),
      style('fluent-3d', 'out-of-distribution'),
      style('openmoji-line', 'out-of-distribution'),
    ],
  };
}

const studies = { pacs: pacsStudy, emoji: emojiStudy };
for (const name of values.data) {
  if (Object.hasOwn(studies, name)) continue;
  throw new Error(`No data "${name}"; there are ${Object.keys(studies).join(' and ')}.`);
}
if (values.data.includes('pacs') && values.pacs === undefined) {
  throw new Error('Name the folder of PACS with --pacs DIR.');
}
for (const name of values.data) {
  const out = join(values.out, name);
  mkdirSync(out, { recursive: true });
  const own = await studies[name](out);
  await carryOut(
    { out, jobs: values.jobs },
    {
      name: `Robustness on ${name}`,
      run: { model: 'ModifiedResNet-Nano-64', train: { batchSize: 64, lr: 6e-4, workers: 1 } },
      seeds: Array.from({ length: Number(values.seeds) }, (_, seed) => seed),
      ...own,
    },
  );
}
