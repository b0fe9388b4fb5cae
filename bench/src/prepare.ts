import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  add,
  at,
  fromTypedArray,
  Generator,
  mul,
  rand,
  RandomStreams,
  saveSafetensors,
  scope,
  to,
  type Tensor,
} from '@bantam/torch';
import {
  BantamError,
  createModel,
  modelConfig,
  saveModel,
  trainTokenizer,
  type ModelConfig,
  type Tokenizer,
} from 'bantam';
import { clipTokenizer, modelFlops, parameterCount, preprocessFor } from 'bantam/experimental';
import { readCaptions } from './captions.js';
import type { Prepared, PrepareRequest } from './protocol.js';

/** Repeats its words until it has the tokens. */
function lengthen(caption: string, tokens: number, tokenizer: Tokenizer): string {
  const words = caption.split(' ');
  let longer = caption;
  for (let i = 0; tokenizer.encode(longer).length < tokens; i++) {
    longer += ` ${at(words, i % words.length)}`;
  }
  return longer;
}

async function tokenizerFor(
  { vocabulary }: PrepareRequest,
  { text }: ModelConfig,
  captions: readonly string[],
): Promise<Tokenizer> {
  const { vocabSize, contextLength } = text;
  const fits = vocabulary !== null && text.vocabSize === 49408;
  return fits
    ? clipTokenizer({ mergesFile: vocabulary, contextLength })
    : // Whole words, as a tokenizer learns them from many captions.
      trainTokenizer(captions, { vocabSize, contextLength, minFrequency: 1 });
}

/**
 * Writes what both implementations work on: a model directory with fresh weights of seed 0 (unless it is
 * there), `captions.json`, and `batches.safetensors` with `pixels` uint8 [N, B, S, S, 3] and
 * `ids` int64 [N, B, context].
 */
export async function prepare(request: PrepareRequest): Promise<Prepared> {
  const { folder, model: name, batch, batches, imageSize, captionTokens = 0 } = request;
  const config = modelConfig(name, imageSize === undefined ? {} : { vision: { imageSize } });
  const all = await readCaptions();
  const tokenizer = await tokenizerFor(request, config, all);
  if (captionTokens > tokenizer.contextLength) {
    throw new BantamError(
      `Captions of ${captionTokens} tokens do not fit the context of ${name}, ${tokenizer.contextLength}.`,
    );
  }
  const captions = Array.from({ length: batch * batches }, (_, i) => {
    const caption = at(all, i % all.length);
    return captionTokens > 0 ? lengthen(caption, captionTokens, tokenizer) : caption;
  });
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'captions.json'), JSON.stringify(captions));
  const directory = join(folder, 'model');
  if (!existsSync(directory)) {
    using model = createModel(config, { generator: new RandomStreams({ seed: 0 }).get('init') });
    const preprocess = preprocessFor(config.vision.imageSize);
    await saveModel(directory, { config, model, tokenizer, preprocess });
  }
  writeBatches(join(folder, 'batches.safetensors'), {
    shape: [batches, batch, config.vision.imageSize],
    ids: tokenizer.encodeBatch(captions, { length: 'context' }).ids,
  });
  const lengths = captions.map((caption) => tokenizer.encode(caption).length);
  const mean = (values: readonly number[]) =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    parameters: parameterCount(config).total,
    tokens: {
      mean: mean(lengths),
      longest: Math.max(...lengths),
      context: tokenizer.contextLength,
    },
    flops: {
      image: modelFlops(config).image,
      text: mean(lengths.map((captionTokens) => modelFlops(config, { captionTokens }).text)),
      textPadded: modelFlops(config).text,
    },
  };
}

/** Images of one colour each, with noise, so that features differ. */
function randomPixels(shape: readonly [number, number, number]): Tensor {
  const [batches, batch, size] = shape;
  const generator = new Generator({ seed: 0 });
  const colours = rand([batches, batch, 1, 1, 3], generator);
  const noise = rand([batches, batch, size, size, 3], generator);
  return to(add(mul(colours, 160), mul(noise, 95)), { dtype: 'uint8' });
}

function writeBatches(
  path: string,
  { shape, ids }: { shape: readonly [number, number, number]; ids: BigInt64Array },
): void {
  const [batches, batch] = shape;
  scope(() => {
    const tensors = {
      pixels: randomPixels(shape),
      ids: fromTypedArray(ids, { shape: [batches, batch, ids.length / batches / batch] }),
    };
    saveSafetensors(path, new Map(Object.entries(tensors)));
  });
}
