/**
 * Search in a million vectors: build time, memory, queries per second and recall@10 of exact search in fp32,
 * bf16 and int8, and of the graph.
 *
 *     node recipes/search-million.js --out FOLDER [--rows 1000000] [--width 512] [--noise-dims 32] [--from FILE]
 *         [--stage fill|graph|fp32|bf16|int8|approximate] [--threads 2]
 *
 * Each stage runs in a process of its own, so that its peak of memory is its own; without --stage all run.
 * The vectors are synthetic: a thousand centres of length 1, Zipf-distributed, plus noise of length 0.7 within
 * 32 dimensions (--noise-dims; 0: in all dimensions, in which case neighbours are nearly as far as all others,
 * as with no real data), scaled to length 1. With --from they are the `image` rows of an embedding file,
 * repeated with noise of length 0.1 in all dimensions.
 * Queries are 500 vectors of the same distribution that are not in the index. `fill` may be killed and started
 * again; it resumes, and so does `graph`. Rates are given per second and per CPU second of all threads; on a
 * machine that has other work the second is what counts. Peaks are those of /proc/self/status: RssAnon is memory, RssFile are pages of the
 * mapped files, which the system may drop.
 */
import './shared/one-sentence.js';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import {
  add,
  fromTypedArray,
  indexSelect,
  loadSafetensors,
  matmul,
  mul,
  normalize,
  RandomStreams,
  randn,
  scope,
  setThreads,
} from '@bantam/torch';
import { Collection, finishIndex, openIndex } from 'bantam/experimental';

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    rows: { type: 'string', default: '1000000' },
    width: { type: 'string', default: '512' },
    from: { type: 'string' },
    'noise-dims': { type: 'string', default: '32' },
    stage: { type: 'string' },
    threads: { type: 'string', default: '2' },
  },
});
const { out, from, stage } = values;
if (out === undefined) throw new Error('Give --out FOLDER; see the top of this file.');
const rows = Number(values.rows);
setThreads(Number(values.threads));

const given = from === undefined ? undefined : loadSafetensors(from).tensors.get('image');
const width = given?.dim(1) ?? Number(values.width);
const noiseDims = Number(values['noise-dims']);
const queryCount = 500;
const batch = 4096;
const neighbours = 10;

/** Rows [count, width] of batch `number`: the same in every process. */
function makeRows(number, count) {
  return scope(() => {
    const centres = given ?? makeCentres();
    const generator = new RandomStreams({ seed: 1000 + number }).get('noise');
    const chosen = BigInt64Array.from({ length: count }, (_, row) => {
      const i = (number * batch + row) * 0.6180339887498949;
      // Zipf: centre c with a probability of about 1 / c; or all rows of the file in turn.
      const u = i - Math.floor(i);
      const rank =
        given === undefined ? Math.floor(1000 ** u) - 1 : (number * batch + row) % given.dim(0);
      return BigInt(Math.min(rank, centres.dim(0) - 1));
    });
    const dims = given === undefined && noiseDims > 0 ? noiseDims : width;
    const raw = randn([count, dims], generator);
    const noise = dims === width ? raw : matmul(raw, makeDirections(dims));
    const scale = (given === undefined ? 0.7 : 0.1) / Math.sqrt(dims);
    const x = add(indexSelect(centres, 0, fromTypedArray(chosen)), mul(noise, scale));
    return normalize(x).toTypedArray();
  });
}

function makeCentres() {
  const generator = new RandomStreams({ seed: 1 }).get('centres');
  return normalize(randn([1000, width], generator));
}

/** Directions of the noise [dims, width], of length 1. */
function makeDirections(dims) {
  const generator = new RandomStreams({ seed: 2 }).get('directions');
  return normalize(randn([dims, width], generator));
}

/** Peaks of this process in MB. */
function memory() {
  const status = readFileSync('/proc/self/status', 'utf8');
  const of = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1000;
  return `peak ${of('VmHWM').toFixed(0)} MB; now RssAnon ${of('RssAnon').toFixed(0)} MB, RssFile ${of('RssFile').toFixed(0)} MB`;
}

/** CPU seconds of this process. */
const cpuSeconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

const seconds = (start) => ((performance.now() - start) / 1000).toFixed(1);

const stages = {
  async fill() {
    const start = performance.now();
    const collection = await Collection.open(out, { width });
    const begun = collection.size;
    for (let row = begun; row < rows;) {
      // Batches have fixed bounds, whatever was committed.
      const number = Math.floor(row / batch);
      const offset = row % batch;
      const count = Math.min(batch, rows - number * batch);
      const features = makeRows(number, count);
      for (let i = offset; i < count; i++) {
        const meta = { group: String((row - offset + i) % 100) };
        const record = { key: `image/${row - offset + i}.jpg`, meta };
        collection.add({ record, image: features.subarray(i * width, (i + 1) * width) });
      }
      collection.commit();
      row += count - offset;
    }
    collection.close();
    console.log(
      `fill: from ${begun} to ${collection.size} rows in ${seconds(start)} s; ${memory()}`,
    );
  },

  async graph() {
    const collection = await Collection.open(out, { width });
    const begun = collection.manifest.graph?.rows ?? 0;
    const start = performance.now();
    const { graph } = await finishIndex(collection, { kind: 'graph' });
    collection.close();
    const used = `${seconds(start)} s (${cpuSeconds().toFixed(0)} CPU seconds)`;
    console.log(`graph: from ${begun} to ${graph.rows} rows in ${used}; ${memory()}`);
    console.table(graph.recall);
  },

  fp32: () => measure('fp32', { precision: 'fp32', exact: true }),
  bf16: () => measure('bf16', { precision: 'bf16', exact: true }),
  int8: () => measure('int8', { precision: 'int8', exact: true }),
  approximate: () => measure('approximate', {}),
};

/** Truth by plain fp32 products, for one precision or the graph; then its speed. */
async function measure(name, options) {
  const vectors = makeRows(1_000_000, queryCount);
  const queries = Array.from({ length: queryCount }, (_, row) => [
    { kind: 'image', vector: vectors.subarray(row * width, (row + 1) * width) },
  ]);
  const start = performance.now();
  const index = await openIndex(out, options);
  const opened = seconds(start);
  await index.search({ queries: queries.slice(0, 1), k: neighbours });
  const rates = [];
  for (const size of [1, 16, 64]) {
    const from = performance.now();
    const cpu = cpuSeconds();
    let done = 0;
    while (performance.now() - from < 4000) {
      const at = done % (queryCount - size);
      await index.search({ queries: queries.slice(at, at + size), k: neighbours });
      done += size;
    }
    const perSecond = (done / Number(seconds(from))).toFixed(0);
    const perCpuSecond = (done / (cpuSeconds() - cpu)).toFixed(0);
    rates.push(`${size} at a time: ${perSecond}/s, ${perCpuSecond} per CPU second`);
  }
  const used = memory();
  // Recall of all but fp32, whose answers are the truth.
  let recall = '';
  if (name !== 'fp32') {
    const exact = await openIndex(out, { exact: true });
    let hits = 0;
    for (let at = 0; at < queryCount; at += 100) {
      const part = { queries: queries.slice(at, at + 100), k: neighbours };
      const truth = await exact.search(part);
      const found = await index.search(part);
      for (const [query, list] of truth.entries()) {
        const keys = new Set(found[query].map(({ key }) => key));
        hits += list.filter(({ key }) => keys.has(key)).length;
      }
    }
    exact.dispose();
    recall = `recall@${neighbours} ${(hits / (queryCount * neighbours)).toFixed(4)}; `;
  }
  console.log(`${name}: opened in ${opened} s; ${rates.join('; ')}; ${recall}${used}`);
}

if (stage !== undefined) {
  await stages[stage]();
} else {
  for (const name of Object.keys(stages)) {
    const args = [fileURLToPath(import.meta.url), ...process.argv.slice(2), '--stage', name];
    const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
    if (status !== 0) process.exit(1);
  }
}
