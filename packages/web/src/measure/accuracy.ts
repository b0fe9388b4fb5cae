/**
 * Features and scores of an exported model in Chromium beside Bantam's own:
 *
 *     node packages/web/dist/measure/accuracy.js --model DIR --exported DIR --data SPEC
 *
 * `--exported` is what `bantam export --to onnx` made of `--model`. The browser decodes the image
 * files itself. The duration is that of embedding the data three times: a few minutes for thousands
 * of small images.
 */
import { parseArgs } from 'node:util';
import { loadModel, openSource, type Source } from 'bantam';
import {
  encodePixels,
  encodeTexts,
  evalBatches,
  Quarantine,
  taskScores,
  type Encoder,
} from 'bantam/experimental';
import type { ModelDtype } from '../types.js';
import { openChromium } from '../test-support/chromium.js';
import { BrowserEncoder } from './browser-encoder.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    exported: { type: 'string' },
    data: { type: 'string' },
    dtypes: { type: 'string', default: 'fp32,q8' },
  },
});
const { model: directory, exported, data, dtypes } = values;
if (directory === undefined || exported === undefined || data === undefined) {
  throw new Error('Name --model, --exported and --data.');
}

const source = await openSource(data);
const loaded = await loadModel(directory, { fused: true });
const { preprocess, config } = loaded;
const { embedDim } = config;

/** Indices of the records whose images Bantam can read, in order. */
async function readable(of: Source): Promise<number[]> {
  const records: number[] = [];
  const quarantine = new Quarantine({ maxFraction: 1 });
  for await (const { indices } of evalBatches(of, { preprocess, batchSize: 64, quarantine })) {
    records.push(...indices);
  }
  return records;
}

const records = await readable(source);
const own: Float32Array[] = [];
const bantam: Encoder = {
  encodePixels: (input) => {
    const rows = encodePixels(loaded, input);
    own.push(rows);
    return rows;
  },
  encodeTexts: async (texts) => {
    using features = await encodeTexts(loaded, texts);
    return features.toTypedArray() as Float32Array;
  },
};
const wanted = await taskScores(bantam, source, { preprocess, embedDim });
const ownRows = Float32Array.from(own.flatMap((rows) => [...rows]));
console.log(`${records.length} images of ${data}`);
console.log('Bantam', wanted);

const browser = await openChromium();
for (const dtype of dtypes.split(',') as ModelDtype[]) {
  const encoder = await BrowserEncoder.open(browser, { model: exported, dtype, source });
  const begun = performance.now();
  const rows = await encoder.encodeImages(records);
  const seconds = (performance.now() - begun) / 1000;
  let offset = 0;
  const inBrowser: Encoder = {
    // The same images in the same order; only their number counts here.
    encodePixels: ({ shape: [count] }) =>
      rows.subarray(offset * embedDim, (offset += count) * embedDim),
    encodeTexts: (texts) => encoder.encodeTexts(texts),
  };
  const scores = await taskScores(inBrowser, source, { preprocess, embedDim });
  await encoder.close();
  console.log(dtype, scores, {
    ...agreement(rows, ownRows),
    imagesPerSecond: records.length / seconds,
  });
}
await browser.close();

function agreement(rows: Float32Array, wanted: Float32Array): object {
  let largestDifference = 0;
  let leastCosine = 1;
  let sum = 0;
  for (let start = 0; start < wanted.length; start += embedDim) {
    let cosine = 0;
    for (let i = start; i < start + embedDim; i++) {
      const [a, b] = [Number(rows[i]), Number(wanted[i])];
      cosine += a * b;
      largestDifference = Math.max(largestDifference, Math.abs(a - b));
    }
    leastCosine = Math.min(leastCosine, cosine);
    sum += cosine;
  }
  return { largestDifference, leastCosine, meanCosine: (sum * embedDim) / wanted.length };
}
