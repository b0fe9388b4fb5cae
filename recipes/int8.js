/**
 * Accuracy and speed of int8. Evaluates a trained model in fp32,
 * bf16 and int8, then times image and text features alternately: images and captions per second of
 * CPU time, median over the repetitions, each repetition long enough for a second.
 *
 *     node recipes/int8.js --model DIR [--data SPEC …] [--batch 64] [--repetitions 5] [--threads 1]
 *
 * Data sets are the emoji in an in-distribution and an out-of-distribution style, unless named; download them
 * first with `bantam data get emoji`. Images are timed without decoding, of random pixels; captions
 * are those of the first data set, with tokenization. The fp32, bf16 and int8 models are in memory
 * together.
 */
import './shared/one-sentence.js';
import { parseArgs } from 'node:util';
import { memoryStats, setThreads } from '@bantam/torch';
import { encodePixels, encodeTexts, evaluate, loadForInference, openSource } from 'bantam';
import { emojiColumns } from './shared/emoji.js';
import { median } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    data: { type: 'string', multiple: true },
    batch: { type: 'string', default: '64' },
    repetitions: { type: 'string', default: '5' },
    threads: { type: 'string', default: '1' },
  },
});
const { model: directory, data = [...new Set(emojiColumns.map(([, spec]) => spec))] } = values;
if (directory === undefined) throw new Error('Give --model DIR; see the top of this file.');
const batchSize = Number(values.batch);
setThreads(Number(values.threads));

/** The models, and the bytes that each holds. */
const models = [];
for (const name of ['fp32', 'bf16', 'int8']) {
  const before = memoryStats().liveBytes;
  const { loaded, precision } = await loadForInference(directory, { precision: name });
  models.push({ name, loaded, precision, bytes: memoryStats().liveBytes - before });
}

/** Features per second of CPU time, over at least a second. */
async function rate(work) {
  const start = process.cpuUsage();
  let items = 0;
  let seconds = 0;
  while (seconds < 1) {
    items += await work();
    const { user, system } = process.cpuUsage(start);
    seconds = (user + system) / 1e6;
  }
  return items / seconds;
}

function table(header, rows) {
  console.log(`| ${header.join(' | ')} |`);
  console.log(`|${header.map((_, i) => (i === 0 ? ' --- ' : ' ---: ')).join('|')}|`);
  for (const row of rows) console.log(`| ${row.join(' | ')} |`);
  console.log();
}

const percent = (value) => (100 * value).toFixed(2);

/** The main metric of each task. */
const shown = { 'zero-shot': 'acc1', retrieval: 'image_retrieval_recall@1' };
const scores = new Map();
/** Image features by data set in fp32, to compare with. */
const reference = new Map();
for (const { name, loaded, precision } of models) {
  const options = {
    precision,
    batchSize,
    onEmbedded({ dataset, embeddings }) {
      const features = embeddings.image.toTypedArray();
      if (name === 'fp32') reference.set(dataset.name, features);
      const wanted = reference.get(dataset.name);
      const width = loaded.config.embedDim;
      let [least, total] = [1, 0];
      for (let row = 0; row < features.length; row += width) {
        let cosine = 0;
        for (let i = row; i < row + width; i++) cosine += features[i] * wanted[i];
        least = Math.min(least, cosine);
        total += cosine;
      }
      const mean = (total * width) / features.length;
      add(`${dataset.name}: mean cosine of images to fp32`, mean.toFixed(6));
      add(`${dataset.name}: least cosine`, least.toFixed(6));
    },
  };
  for (const { dataset, task, labels, metrics } of await evaluate(loaded, data, options)) {
    const metric = shown[task];
    add(`${[dataset, labels].filter(Boolean).join(' ')}: ${metric}, %`, percent(metrics[metric]));
  }
}

function add(row, value) {
  scores.set(row, [...(scores.get(row) ?? []), value]);
}

const [first] = models;
const { imageSize } = first.loaded.config.vision;
const pixels = Uint8Array.from(
  { length: batchSize * imageSize ** 2 * 3 },
  (_, i) => (i * 7919) % 251,
);
const shape = [batchSize, imageSize, imageSize, 3];
const source = await openSource(data[0]);
const captions = [
  ...new Set(Array.from({ length: source.size }, (_, i) => source.record(i).captions[0])),
].slice(0, batchSize);

const rates = models.map(() => ({ images: [], captions: [] }));
for (let repetition = -1; repetition < Number(values.repetitions); repetition++) {
  for (const [i, { loaded, precision }] of models.entries()) {
    const images = await rate(() => {
      encodePixels(loaded, { pixels, shape }, { precision });
      return batchSize;
    });
    const texts = await rate(async () => {
      const features = await encodeTexts(loaded, captions, { precision, batchSize });
      features.dispose();
      return captions.length;
    });
    // The first repetition warms up.
    if (repetition < 0) continue;
    rates[i].images.push(images);
    rates[i].captions.push(texts);
  }
}

const names = models.map(({ name }) => name);
table(
  ['accuracy', ...names],
  [...scores].map(([row, cells]) => [row, ...cells]),
);
table(
  ['per second of CPU time, ratio to bf16', ...names],
  ['images', 'captions'].map((kind) => {
    const medians = rates.map((all) => median(all[kind]));
    return [
      kind,
      ...medians.map((value) => `${value.toFixed(1)}, ${(value / medians[1]).toFixed(2)}`),
    ];
  }),
);
table(
  ['memory', ...names],
  [['weights, MB', ...models.map(({ bytes }) => (bytes / 1e6).toFixed(1))]],
);
