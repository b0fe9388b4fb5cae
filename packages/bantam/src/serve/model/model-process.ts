/**
 * A process that holds one model and computes embeddings. It is a process and not a thread because
 * native code cannot be interrupted in a thread: one that hangs or crashes here is ended and replaced,
 * and the server answers on.
 */
import { scope } from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { causeOf } from '../../base/system-error.js';
import {
  encodePixels,
  encodeTexts,
  loadForInference,
  type InferenceModel,
} from '../../eval/index.js';
import {
  identifyModel,
  openIndex,
  parseCondition,
  type QueryVector,
  type SearchIndex,
} from '../../search/index.js';
import type {
  Encoded,
  EncodeJob,
  Found,
  IndexDescription,
  JobMessage,
  ModelDescription,
  ProcessMessage,
  SearchJob,
  StartMessage,
} from './messages.js';

// Signals to the whole group of processes are the server's to handle.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => undefined);
// The server is gone.
process.on('disconnect', () => process.exit());

let chain: Promise<unknown> = Promise.resolve();
process.once('message', (start) => {
  chain = load(start as StartMessage);
});

/** A model with the indexes that it made. */
interface Loaded {
  readonly model: InferenceModel;
  readonly indexes: ReadonlyMap<string, SearchIndex>;
}

async function load({ directory, precision, device, indexes: paths }: StartMessage): Promise<void> {
  let loaded: Loaded;
  try {
    const model = await loadForInference(directory, { precision, device });
    await warmUp(model);
    loaded = { model, indexes: await openIndexes(model, paths) };
  } catch (error) {
    send({ refused: causeOf(error) });
    return;
  }
  process.on('message', (message) => {
    chain = chain.then(() => answer(loaded, message as JobMessage));
  });
  send({ ready: describe(loaded) });
}

/** The indexes that the model made; an index that does not know its model must have its width. */
async function openIndexes(
  model: InferenceModel,
  paths: StartMessage['indexes'],
): Promise<Map<string, SearchIndex>> {
  const opened = new Map<string, SearchIndex>();
  for (const [name, path] of Object.entries(paths)) {
    const index = await openIndex(path);
    const { hash } = index.model;
    const own = hash === undefined ? undefined : (await identifyModel(model)).hash;
    if (hash === own && index.width === model.loaded.config.embedDim) opened.set(name, index);
    else index.dispose();
  }
  return opened;
}

/** A first batch of each kind, for which the runtime prepares its kernels. */
async function warmUp(model: InferenceModel): Promise<void> {
  const { size } = model.loaded.preprocess;
  await encode(model, { kind: 'text', texts: ['a'] });
  await encode(model, { kind: 'image', pixels: new Uint8Array(size * size * 3), count: 1 });
}

function describe({ model: { loaded }, indexes }: Loaded): ModelDescription {
  const { model, config, preprocess, tokenizer } = loaded;
  const described = [...indexes].map(([name, { size, isApproximate }]) => {
    return [name, { size, isApproximate } satisfies IndexDescription] as const;
  });
  return {
    dimensions: config.embedDim,
    contextLength: tokenizer.contextLength,
    preprocess,
    logitScale: Math.exp(model.logitScale.item()),
    logitBias: model.logitBias?.item() ?? null,
    indexes: Object.fromEntries(described),
  };
}

async function answer(loaded: Loaded, { id, job }: JobMessage): Promise<void> {
  try {
    const result =
      job.kind === 'search' ? await find(loaded.indexes, job) : await encode(loaded.model, job);
    send({ id, result, residentBytes: process.memoryUsage.rss() });
  } catch (error) {
    send({ id, error: causeOf(error), isRefusal: error instanceof BantamError });
  }
}

async function find(indexes: Loaded['indexes'], job: SearchJob): Promise<Found> {
  const { parts, where, k, minScore, falsePositiveRate } = job;
  const index = indexes.get(job.index);
  if (index === undefined) throw new BantamError(`There is no index "${job.index}".`);
  const query = parts.map((part): QueryVector => {
    if (!('key' in part)) return part;
    return { kind: 'image', vector: index.vectorOf(part.key), weight: part.weight };
  });
  const conditions = where.map(parseCondition);
  const [hits = []] = await index.search({
    queries: [query],
    k,
    where: conditions,
    ...(minScore !== undefined && { minScore }),
    ...(falsePositiveRate !== undefined && { falsePositiveRate }),
  });
  return {
    hits: hits.map(({ row, score }) => {
      const { key, caption, label, meta } = index.record(row);
      return {
        key,
        score,
        ...(caption !== undefined && { caption }),
        ...(label !== undefined && { label }),
        ...(meta !== undefined && { meta }),
      };
    }),
  };
}

async function encode({ loaded, precision }: InferenceModel, job: EncodeJob): Promise<Encoded> {
  if (job.kind === 'image') {
    const { size } = loaded.preprocess;
    const rows = paddedRows(job.count);
    const pixels = new Uint8Array(rows * size * size * 3);
    pixels.set(job.pixels);
    const input = { pixels, shape: [rows, size, size, 3] } as const;
    const features = scope(() => encodePixels(loaded, input, { precision }));
    const width = features.length / rows;
    return { features: features.slice(0, job.count * width), tokens: [], truncated: [] };
  }
  const { texts } = job;
  const batchSize = paddedRows(texts.length);
  const filled = [...texts, ...Array.from({ length: batchSize - texts.length }, () => '')];
  const encoded = await encodeTexts(loaded, filled, { precision, batchSize });
  const features = encoded.toTypedArray();
  encoded.dispose();
  if (!(features instanceof Float32Array)) throw new BantamError('Embeddings are no float32.');
  const width = features.length / batchSize;
  const { tokenizer } = loaded;
  const ids = texts.map((text) => tokenizer.encode(text));
  return {
    features: features.slice(0, texts.length * width),
    tokens: ids.map(({ length }) => length),
    truncated: ids.map(({ length }, i) => {
      if (length < tokenizer.contextLength) return false;
      // The context is full; the text went on if its last character changes nothing.
      const shorter = at(texts, i).trimEnd().slice(0, -1);
      return String(tokenizer.encode(shorter)) === String(ids[i]);
    }),
  };
}

/**
 * Rows of a batch with rows that fill it up: the next 2ⁿ or 3·2ⁿ. The runtime keeps kernels and buffers
 * for every size that occurs, of which 64 take hundreds of megabytes and twelve do not.
 */
function paddedRows(rows: number): number {
  const power = 2 ** Math.ceil(Math.log2(rows));
  return rows <= 0.75 * power && power >= 4 ? 0.75 * power : power;
}

function send(message: ProcessMessage): void {
  // The server may have gone in between.
  if (process.connected) process.send?.(message);
}
