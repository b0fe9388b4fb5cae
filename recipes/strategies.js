/**
 * Which strategy gives the best model for a given time? Trains the same small model with every
 * strategy and several seeds, evaluates it, and prints a table of means and standard deviations.
 *
 *     node recipes/strategies.js --data emoji [--recipe slip]… [--seeds 3] [--model ViT-Nano-16-64] [--samples 36000] [--out runs/strategies]
 *     node recipes/strategies.js --data photos --photos DIR
 *
 * `photos` takes a folder with one folder of images per class, named as CIFAR-10's; horses and
 * trucks are held out. `clip` sees `--samples` samples; every other strategy as many as take the same
 * time, by its speed beside clip's (`shared/equal-time.js`). Finished runs are not repeated.
 * The emoji's `--model` is a ViT, because FLIP needs patches to drop; name another for the strategies
 * that work with it. `--repetitions` counts the measurements of each speed; measure on an idle machine.
 */
import './shared/one-sentence.js';
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { compareAtEqualTime, runOf } from './shared/equal-time.js';
import { emojiColumns, emojiData } from './shared/emoji.js';
import { photoData } from './shared/photos.js';
import { settingArgs } from './shared/runs.js';
import clip from './strategies/clip.js';
import clipDa from './strategies/clip-da.js';
import clipa from './strategies/clipa.js';
import distill from './strategies/distill.js';
import fastclip from './strategies/fastclip.js';
import flip from './strategies/flip.js';
import lit from './strategies/lit.js';
import siclip from './strategies/siclip.js';
import siglip from './strategies/siglip.js';
import slip from './strategies/slip.js';

const { values } = parseArgs({
  options: {
    data: { type: 'string', default: 'emoji' },
    photos: { type: 'string' },
    model: { type: 'string', default: 'ViT-Nano-16-64' },
    seeds: { type: 'string', default: '3' },
    repetitions: { type: 'string', default: '3' },
    samples: { type: 'string', default: '36000' },
    out: { type: 'string', default: 'runs/strategies' },
    recipe: { type: 'string', multiple: true },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});
const out = join(values.out, values.data);
const batchSize = 128;

/** Settings that all runs share, on top of {@link datasets}. */
const shared = {
  train: { batchSize, lr: 6e-4, workers: 1, checkpointMinutes: 60 },
  tokenizer: { contextLength: 16 },
};

/** Experiments by their file in `strategies/`; those that start from models of `clip` come last. */
const experiments = {
  clip,
  'clip-da': clipDa,
  slip,
  flip,
  clipa,
  siglip,
  fastclip,
  lit,
  distill,
  siclip,
};

/** Data sets with the model that they train and the columns of its evaluation. */
const datasets = {
  emoji: async () => ({
    train: await emojiData(out),
    model: { name: values.model },
    columns: emojiColumns,
  }),
  photos: () => {
    const { train, test, heldOut } = photoData(values.photos, out);
    return {
      train,
      model: {
        name: 'ViT-Nano-16-64',
        vision: { imageSize: 32, patchSize: 4, width: 192, layers: 4 },
      },
      columns: [
        ['class, new photographs', test, 'zero-shot', 'acc1'],
        ['animal or vehicle, held-out classes', heldOut, 'zero-shot', 'acc1'],
      ],
    };
  },
};

mkdirSync(out, { recursive: true });
const { train, model, columns } = await datasets[values.data]();
const { name: preset, ...modelChanges } = model;

/** A row of the table, from a file in `strategies/`. */
const candidate = ({ name, strategy, settings, taught = false }) => ({
  name,
  args: (seed) => {
    const args = ['--model', preset, '--data', train, '--strategy', strategy];
    args.push(...settingArgs(shared, { model: modelChanges }, settings));
    const trained = join(runOf(out, 'clip', seed), 'model');
    if (strategy === 'lit') args.push('--init-image', trained, '--tokenizer', trained);
    if (taught) args.push('--teacher', trained);
    return args;
  },
});

const wanted = values.recipe ?? Object.keys(experiments);
const table = await compareAtEqualTime({
  out,
  candidates: wanted.flatMap((name) => experiments[name].map(candidate)),
  reference: candidate(clip[0]),
  columns,
  seeds: Number(values.seeds),
  samples: Number(values.samples),
  batchSize,
  repetitions: Number(values.repetitions),
  jobs: Number(values.jobs),
});
console.log(table);
