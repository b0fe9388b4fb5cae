/** Time to accuracy in Bantam: pairs for both implementations, training for a time, and the scores. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  at,
  fromTypedArray,
  Generator,
  indexSelect,
  rand,
  RandomStreams,
  saveSafetensors,
  scope,
  type Tensor,
} from '@bantam/torch';
import {
  BantamError,
  createModel,
  embedSource,
  loadForInference,
  modelConfig,
  openSource,
  retrieval,
  saveModel,
  train,
  trainTokenizer,
  type Source,
  type Tokenizer,
} from 'bantam';
import { preprocessFor } from 'bantam/experimental';
import { decodeFloats } from './agreement.js';
import type {
  LearnReply,
  LearnRequest,
  Pairs,
  PairsRequest,
  Recalls,
  RecallsRequest,
} from './protocol.js';

/** Tables of a folder of pairs, with columns `filepath` and `title`. */
const tables = { train: 'train.tsv', heldOut: 'held-out.tsv' } as const;

interface Pair {
  readonly file: string;
  readonly caption: string;
}

/**
 * Splits a source, and writes tables of both parts, the captions' token ids, and a model directory with
 * the weights that the seed initialises.
 *
 * @throws BantamError if an image is no file of its own, or nothing would be held out.
 */
export async function preparePairs(request: PairsRequest): Promise<Pairs> {
  const { folder, seed } = request;
  const all = pairsOf(await openSource(request.data));
  const count = Math.round(request.heldOut * all.length);
  if (!(count >= 2 && count <= all.length - 2)) {
    throw new BantamError(
      `Of ${all.length} pairs ${count} would be held out; give more data, or another --held-out.`,
    );
  }
  const order = shuffled(all, seed);
  const [heldOut, training] = [order.slice(0, count), order.slice(count)];
  const config = modelConfig(request.model);
  const { vocabSize, contextLength } = config.text;
  const captions = training.map(({ caption }) => caption);
  const tokenizer = trainTokenizer(captions, { vocabSize, contextLength });
  await mkdir(folder, { recursive: true });
  await writeTable(join(folder, tables.train), training);
  await writeTable(join(folder, tables.heldOut), heldOut);
  scope(() => {
    const ids = { train: idsOf(training, tokenizer), heldOut: idsOf(heldOut, tokenizer) };
    saveSafetensors(join(folder, 'ids.safetensors'), new Map(Object.entries(ids)));
  });
  using model = createModel(config, { generator: new RandomStreams({ seed }).get('init') });
  const preprocess = preprocessFor(config.vision.imageSize);
  await saveModel(join(folder, 'model'), { config, model, tokenizer, preprocess });
  return { train: training.length, heldOut: heldOut.length };
}

/** The first caption of each image. */
function pairsOf(source: Source): Pair[] {
  return Array.from({ length: source.size }, (_, index) => {
    const { path, range, raw } = source.location(index);
    const [caption] = source.record(index).captions;
    if (range !== undefined || raw !== undefined || caption === undefined) {
      throw new BantamError(
        `Record ${index} of ${source.spec} is no image file with a caption; name a table of files, such as csv:pairs.csv.`,
      );
    }
    return { file: path, caption: caption.replace(/\s+/g, ' ') };
  });
}

function shuffled(pairs: readonly Pair[], seed: number): Pair[] {
  const keys = scope(() => rand([pairs.length], new Generator({ seed })).toArray());
  return pairs
    .map((pair, index) => ({ pair, key: at(keys, index) }))
    .sort((a, b) => a.key - b.key)
    .map(({ pair }) => pair);
}

async function writeTable(path: string, pairs: readonly Pair[]): Promise<void> {
  const rows = pairs.map(({ file, caption }) => `${file}\t${caption}`);
  await writeFile(path, ['filepath\ttitle', ...rows, ''].join('\n'));
}

function idsOf(pairs: readonly Pair[], tokenizer: Tokenizer): Tensor {
  const captions = pairs.map(({ caption }) => caption);
  const { ids, shape } = tokenizer.encodeBatch(captions, { length: 'context' });
  return fromTypedArray(ids, { shape });
}

/** `bantam train` with its own defaults for the time, then features of the held-out pairs. */
export async function learn(request: LearnRequest): Promise<LearnReply> {
  const { folder, model, seconds, batch, workers, seed } = request;
  const result = await train({
    model,
    data: `csv:${join(folder, tables.train)}`,
    out: join(folder, `bantam-${seed}`),
    budget: `${seconds}s`,
    seed,
    train: { batchSize: batch, workers },
    validation: { data: 'none' },
  });
  if (result.model === undefined) throw new BantamError('The training was interrupted.');
  const { loaded, precision } = await loadForInference(result.model, { precision: 'auto' });
  const source = await openSource(`csv:${join(folder, tables.heldOut)}`);
  const { image, text, captionsOf } = await embedSource(loaded, source, { precision });
  const rows = captionsOf.map((captions) => BigInt(at(captions, 0)));
  const paired = indexSelect(text, 0, fromTypedArray(BigInt64Array.from(rows)));
  return { samples: result.samples, image: encoded(image), text: encoded(paired) };
}

function encoded(features: Tensor): string {
  const { buffer, byteOffset, byteLength } = features.toTypedArray();
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}

/** Recalls of features of the held-out pairs, whoever computed them. */
export async function recalls(request: RecallsRequest): Promise<Recalls> {
  const { size } = await openSource(`csv:${join(request.folder, tables.heldOut)}`);
  return scope(() => {
    const [image, text] = [request.image, request.text].map((given) => {
      const values = decodeFloats(given);
      return fromTypedArray(values, { shape: [size, values.length / size] });
    }) as [Tensor, Tensor];
    const textsOf = Array.from({ length: size }, (_, row) => [row]);
    const { metrics } = retrieval({ image, text, textsOf });
    const of = (name: string): number => {
      const value = metrics[name];
      if (value === undefined || value === null)
        throw new RangeError(`There is no metric ${name}.`);
      return value;
    };
    return {
      image1: of('image_retrieval_recall@1'),
      image10: of('image_retrieval_recall@10'),
      text1: of('text_retrieval_recall@1'),
      text10: of('text_retrieval_recall@10'),
    };
  });
}
