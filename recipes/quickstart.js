/**
 * The search behind the quickstart's preset: towers and settings beside each other on the emoji, each
 * measured by retrieval, subgroups and the thirty natural queries. One thread each, so that other work
 * on the machine changes the time and not the outcome; samples are the budget.
 *
 *     node recipes/quickstart.js [--arm 'first preset' --arm vit]… [--samples 36000] [--seeds 1] [--jobs 1] [--out runs/quickstart]
 *
 * Finished runs are not repeated. docs/log.md has the results.
 */
import './shared/one-sentence.js';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  emojiAugment,
  evaluate,
  loadForInference,
  naturalQueries,
  quickstartPreset,
} from 'bantam/experimental';
import { emojiData } from './shared/emoji.js';
import { mean, runBantam, runParallel, settingArgs, spread } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    arm: { type: 'string', multiple: true },
    samples: { type: 'string', default: '36000' },
    seeds: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' },
    out: { type: 'string', default: 'runs/quickstart' },
  },
});
const { out, samples } = values;

/**
 * Model and settings that differ from the first preset, which had four layers of text and shifted
 * images; today's is `text of 2 layers, no shift`.
 *
 * @type {Readonly<Record<string, { model?: string, settings?: object }>>}
 */
const arms = {
  'first preset': {},
  vit: { model: 'ViT-Nano-16-64' },
  resnet: { model: 'ResNet-Nano-64' },
  convnext: { model: 'ConvNeXt-Nano-64' },
  'depth 1-1-1-1': { settings: { model: { vision: { depths: [1, 1, 1, 1] } } } },
  'width 24': { settings: { model: { vision: { width: 24 } } } },
  'heads of 32': { settings: { model: { vision: { headWidth: 32 } } } },
  'text of 2 layers': { settings: { model: { text: { layers: 2 } } } },
  'batch 64': { settings: { train: { batchSize: 64 } } },
  'batch 256': { settings: { train: { batchSize: 256 } } },
  'rate 1e-3': { settings: { train: { lr: 1e-3 } } },
  'rate 4e-4': { settings: { train: { lr: 4e-4 } } },
  'warm-up 0.05': { settings: { train: { warmup: 0.05 } } },
  'decay 0.05': { settings: { train: { weightDecay: 0.05 } } },
  'ema 0.98': { settings: { train: { ema: 0.98 } } },
  'no augmentation': { settings: { augment: 'none' } },
  'text of 2 layers, no shift': {
    settings: {
      model: { text: { layers: 2 } },
      augment: emojiAugment.filter(({ op }) => op !== 'shift'),
    },
  },
  'text of 2 layers, no augmentation': {
    settings: { model: { text: { layers: 2 } }, augment: 'none' },
  },
  'equal captions positive': { settings: { strategy: { loss: { duplicates: 'positives' } } } },
};

const galleries = ['noto', 'twemoji', 'fluent-3d', 'openmoji-line'];

/** Title, data set, task and metric of each column. @type {readonly [string, string, string, string][]} */
const columns = [
  ['Twemoji R@1', 'twemoji', 'retrieval', 'image_retrieval_recall@1'],
  ['R@10', 'twemoji', 'retrieval', 'image_retrieval_recall@10'],
  ['subgroup', 'twemoji', 'zero-shot', 'acc1'],
  ['Fluent 3D R@1', 'fluent-3d', 'retrieval', 'image_retrieval_recall@1'],
  ['R@10', 'fluent-3d', 'retrieval', 'image_retrieval_recall@10'],
  ['subgroup', 'fluent-3d', 'zero-shot', 'acc1'],
  ['line art R@10', 'openmoji-line', 'retrieval', 'image_retrieval_recall@10'],
  ['queries, Noto', 'noto', 'queries', 'hit_rate@5'],
  ['Twemoji', 'twemoji', 'queries', 'hit_rate@5'],
  ['Fluent 3D', 'fluent-3d', 'queries', 'hit_rate@5'],
];

const chosen = values.arm ?? Object.keys(arms);
for (const name of chosen) {
  if (!(name in arms))
    throw new Error(`There is no arm '${name}'; arms are ${Object.keys(arms).join(', ')}`);
}
mkdirSync(out, { recursive: true });
const data = await emojiData(out);
const tasks = chosen.flatMap((name) =>
  Array.from({ length: Number(values.seeds) }, (_, seed) => ({ name, seed })),
);
const runOf = ({ name, seed }) => join(out, `${name.replaceAll(/\W+/g, '-')}-${samples}-${seed}`);
await runParallel(tasks, Number(values.jobs), async (task) => {
  const run = runOf(task);
  if (existsSync(join(run, 'figures.json'))) return;
  const { model = 'ModifiedResNet-Nano-64', settings = {} } = arms[task.name] ?? {};
  const args = [
    ...[
      'train',
      '--model',
      model,
      '--data',
      data,
      '--out',
      run,
      '--budget',
      `${samples}samples`,
      '--validate',
      'none',
    ],
    ...[
      '--seed',
      String(task.seed),
      ...settingArgs({ train: quickstartPreset.train, tokenizer: quickstartPreset.tokenizer }),
      ...settingArgs(settings),
    ],
  ];
  const { status, cpuSeconds } = existsSync(join(run, 'config.json'))
    ? await runBantam(['train', '--resume', run], { log: `${run}.log` })
    : await runBantam(args, { log: `${run}.log` });
  if (status !== 0) throw new Error(`${run} failed, see ${run}.log`);
  const { loaded, precision } = await loadForInference(join(run, 'model'), { precision: 'auto' });
  const datasets = galleries.map((name) => ({ name, spec: `emoji?style=${name}&skin=default` }));
  const results = await evaluate(loaded, datasets, { precision, queries: naturalQueries });
  loaded.model.dispose();
  const figures = columns.map(([, dataset, kind, metric]) => {
    const found = results.find(
      (result) =>
        result.dataset === dataset &&
        result.task === kind &&
        (result.labels ?? 'subgroup') === 'subgroup',
    );
    if (found === undefined) throw new Error(`${dataset} has no ${kind}.`);
    return 100 * found.metrics[metric];
  });
  const missed = results.flatMap(({ dataset, ranks = [] }) =>
    ranks.map((one) => ({ dataset, ...one })),
  );
  writeFileSync(join(run, 'figures.json'), JSON.stringify({ figures, cpuSeconds, ranks: missed }));
  console.error(`${run}: evaluated`);
});

/** Mean and, of several seeds, standard deviation in points. */
const cell = (numbers) => {
  const centre = mean(numbers).toFixed(1);
  return numbers.length > 1 ? `${centre} ± ${spread(numbers).toFixed(1)}` : centre;
};
console.log(`| ${['arm', ...columns.map(([title]) => title), 'CPU seconds'].join(' | ')} |`);
console.log(`| --- |${' ---: |'.repeat(columns.length + 1)}`);
for (const name of chosen) {
  const rows = tasks
    .filter((task) => task.name === name)
    .map((task) => JSON.parse(readFileSync(join(runOf(task), 'figures.json'), 'utf8')));
  const cells = columns.map((_, column) => cell(rows.map(({ figures }) => figures[column])));
  const seconds = cell(rows.map(({ cpuSeconds }) => cpuSeconds));
  console.log(`| ${[name, ...cells, seconds].join(' | ')} |`);
}
