/**
 * Memory of embedding very many images, and of bringing them up to date.
 *
 *     node recipes/embed-million.js --out FOLDER [--images 1000000] [--passes 2]
 *
 * The images are raw pixels of 16 by 16, made once in one file, with a key each, so that the time goes into
 * what is to be measured; the model is a vision transformer of one layer with random weights. The first
 * pass embeds all, or what is missing if an earlier run was killed; the second finds them unchanged. After
 * each fifth it prints the images per CPU second and the process's memory: RssAnon, without the pages of
 * mapped files.
 */
import './shared/one-sentence.js';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { RandomStreams } from '@bantam/torch';
import {
  Collection,
  createModel,
  growCollection,
  parseModelConfig,
  preprocessFor,
} from 'bantam/experimental';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    images: { type: 'string', default: '1000000' },
    passes: { type: 'string', default: '2' },
  },
});
const { out } = values;
if (out === undefined) throw new Error('Give --out FOLDER; see the top of this file.');
const total = Number(values.images);
const side = 16;
const pixels = `${out}.pixels`;
/** Images share their bytes: the file holds a thousand. */
const distinct = 1000;
if (!existsSync(pixels)) {
  writeFileSync(
    pixels,
    Uint8Array.from({ length: distinct * side * side * 3 }, (_, i) => (i * 2654435761) >>> 24),
  );
}

const config = parseModelConfig({
  embedDim: 512,
  vision: { width: 16, layers: 1, imageSize: side, patchSize: 8, headWidth: 8 },
  text: { width: 16, layers: 1, heads: 2, vocabSize: 99, contextLength: 24 },
});
const generator = new RandomStreams({ seed: 5 }).get('init');
const model = {
  name: 'random',
  precision: 'float32',
  loaded: {
    config,
    model: createModel(config, { generator }).eval(),
    preprocess: preprocessFor(side),
    info: {},
  },
};

const bytes = side * side * 3;
const source = {
  spec: `${total} raw images`,
  size: total,
  record: (index) => ({
    key: `shard-${Math.floor(index / 1000)}/image-${index}.jpg`,
    captions: [],
    meta: {},
  }),
  location: (index) => ({
    path: pixels,
    range: { offset: (index % distinct) * bytes, length: bytes },
    raw: { width: side, height: side },
  }),
};

const memory = () => {
  const status = readFileSync('/proc/self/status', 'utf8');
  const of = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1000;
  return `RssAnon ${of('RssAnon').toFixed(0)} MB, peak of all ${of('VmHWM').toFixed(0)} MB`;
};
const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

for (let pass = 1; pass <= Number(values.passes); pass++) {
  const collection = await Collection.open(join(out), { width: config.embedDim });
  const start = performance.now();
  const cpu = cpuSeconds();
  let next = total / 5;
  const summary = await growCollection(collection, model, source, {
    batchSize: 256,
    onProgress: ({ done }) => {
      if (done < next) return;
      next += total / 5;
      const rate = (done / (cpuSeconds() - cpu)).toFixed(0);
      console.log(`pass ${pass}: ${done} images, ${rate} per CPU second; ${memory()}`);
    },
  });
  collection.close();
  const { added, unchanged } = summary;
  const elapsed = ((performance.now() - start) / 1000).toFixed(0);
  console.log(`pass ${pass}: ${added} added, ${unchanged} unchanged in ${elapsed} s`);
}
