/**
 * Rates and latencies of exported graphs in ONNX Runtime beside Bantam's own inference: images and
 * captions per second in batches, and milliseconds for a single image and a single caption.
 *
 *     node recipes/onnx-rates.js --model DIR|PRESET … [--tokenizer DIR] [--batch 16] [--rounds 5] [--seconds 1.5] [--threads 2] [--out onnx-rates]
 *
 * A preset has random weights and the tokenizer of `--tokenizer` (quickstart/model). All candidates of
 * a model take turns, round by round, and each figure is the median over the rounds. Both tokenize the
 * captions, of six to twelve words, and normalise the features; ONNX Runtime gets float pixels, while
 * Bantam converts 8-bit ones in its time.
 */
import './shared/one-sentence.js';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { RandomStreams, setThreads } from '@bantam/torch';
import {
  createModel,
  encodePixels,
  encodeTexts,
  exportOnnx,
  loadForInference,
  loadTokenizer,
  modelConfig,
  saveModel,
} from 'bantam';
import { preprocessOf, withChanges } from 'bantam/experimental';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { median } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', multiple: true, default: ['quickstart/model'] },
    tokenizer: { type: 'string', default: 'quickstart/model' },
    batch: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '1.5' },
    threads: { type: 'string', default: '2' },
    out: { type: 'string', default: 'onnx-rates' },
  },
});
const batchSize = Number(values.batch);
const threads = Number(values.threads);
setThreads(threads);

const words = 'a photo of red blue small old happy cat dog shoe on the table in summer'.split(' ');
const captions = Array.from({ length: 64 }, (_, i) =>
  Array.from({ length: 6 + (i % 7) }, (_, j) => words[(3 * i + 5 * j) % words.length]).join(' '),
);

/** The folder of a model; a preset is written with random weights first. @param {string} name */
async function folderOf(name) {
  if (existsSync(name)) return name;
  const folder = join(values.out, name);
  if (existsSync(folder)) return folder;
  const tokenizer = await loadTokenizer(values.tokenizer);
  const { contextLength, vocabSize } = tokenizer;
  const config = withChanges(modelConfig(name), { text: { contextLength, vocabSize } });
  const model = createModel(config, { generator: new RandomStreams({ seed: 0 }).get('init') });
  await saveModel(folder, { config, model, preprocess: preprocessOf(config), tokenizer });
  model.dispose();
  return folder;
}

/**
 * Work on a number of items of a kind.
 *
 * @typedef {(count: number) => Promise<void> | void} Work
 * @typedef {{ name: string, bytes: number, image: Work, text: Work, close: () => unknown, size: number }} Candidate
 */

/** @param {string} directory @param {'fp32' | 'bf16' | 'int8'} precision @returns {Promise<Candidate>} */
async function bantam(directory, precision) {
  const { loaded, precision: dtype } = await loadForInference(directory, { precision });
  const { size } = loaded.preprocess;
  const pixels = new Uint8Array(batchSize * size * size * 3).map((_, i) => (i * 7919) % 251);
  let next = 0;
  return {
    name: `Bantam, ${precision}`,
    bytes: statSync(join(directory, 'open_clip_model.safetensors')).size,
    image: (count) => {
      const part = pixels.subarray(0, count * size * size * 3);
      encodePixels(loaded, { pixels: part, shape: [count, size, size, 3] }, { precision: dtype });
    },
    text: (count) => {
      const texts = Array.from({ length: count }, () => captions[next++ % captions.length]);
      encodeTexts(loaded, texts, { precision: dtype });
    },
    close: () => loaded.model.dispose(),
    size,
  };
}

/** Scales rows to length 1. @param {Float32Array} rows @param {number} width */
function normalise(rows, width) {
  for (let start = 0; start < rows.length; start += width) {
    const row = rows.subarray(start, start + width);
    const length = Math.hypot(...row);
    row.forEach((value, i) => (row[i] = value / length));
  }
}

/** @returns {Promise<Candidate>} */
async function onnx(directory, { exported, precision, files, size }) {
  const options = { intraOpNumThreads: threads, logSeverityLevel: 3 };
  const [image, text] = await Promise.all(
    [files.image, files.text].map((file) => InferenceSession.create(join(exported, file), options)),
  );
  const tokenizer = await loadTokenizer(directory);
  const pixels = Float32Array.from(
    { length: batchSize * 3 * size * size },
    (_, i) => (i % 97) / 97,
  );
  let next = 0;
  return {
    name: `ONNX Runtime, ${precision}`,
    bytes: statSync(join(exported, files.image)).size + statSync(join(exported, files.text)).size,
    image: async (count) => {
      const part = pixels.subarray(0, count * 3 * size * size);
      const { image_embeds: rows } = await image.run({
        pixel_values: new Tensor('float32', part, [count, 3, size, size]),
      });
      normalise(rows.data, rows.dims[1]);
    },
    text: async (count) => {
      const texts = Array.from({ length: count }, () => captions[next++ % captions.length]);
      const { ids, shape } = tokenizer.encodeBatch(texts, { length: 'longest' });
      const { text_embeds: rows } = await text.run({ input_ids: new Tensor('int64', ids, shape) });
      normalise(rows.data, rows.dims[1]);
    },
    close: () => Promise.all([image.release(), text.release()]),
    size,
  };
}

/** Items per second, over at least the seconds of a slice. @param {Work} work @param {number} count */
async function rate(work, count) {
  const start = performance.now();
  let items = 0;
  let seconds = 0;
  while (seconds < Number(values.seconds)) {
    await work(count);
    items += count;
    seconds = (performance.now() - start) / 1000;
  }
  return items / seconds;
}

for (const name of values.model) {
  const directory = await folderOf(name);
  const exported = join(values.out, `${name.replaceAll(/\W+/g, '-')}-onnx`);
  const { manifest } = await exportOnnx(directory, exported, { check: false });
  const candidates = [];
  for (const precision of ['fp32', 'bf16', 'int8']) {
    candidates.push(await bantam(directory, precision));
  }
  const [{ size }] = candidates;
  for (const [precision, files] of Object.entries(manifest.precisions)) {
    candidates.push(await onnx(directory, { exported, precision, files, size }));
  }
  const measures = [
    ['image', batchSize],
    ['text', batchSize],
    ['image', 1],
    ['text', 1],
  ];
  const figures = candidates.map(() => measures.map(() => []));
  for (const { image, text } of candidates) {
    for (const work of [image, text]) for (const count of [batchSize, 1]) await work(count);
  }
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const [m, [kind, count]] of measures.entries()) {
      for (const [c, candidate] of candidates.entries()) {
        figures[c][m].push(await rate(candidate[kind], count));
      }
    }
  }
  console.log(
    `\n| ${name} | MB | images/s, batches of ${batchSize} | captions/s | one image, ms | one caption, ms |`,
  );
  console.log('| --- | ---: | ---: | ---: | ---: | ---: |');
  for (const [c, { name: label, bytes, close }] of candidates.entries()) {
    const [images, texts, image, text] = figures[c].map(median);
    const cells = [images.toFixed(1), texts.toFixed(1), (1000 / image).toFixed(2)];
    console.log(
      `| ${[label, Math.round(bytes / 1e6), ...cells, (1000 / text).toFixed(2)].join(' | ')} |`,
    );
    await close();
  }
}
