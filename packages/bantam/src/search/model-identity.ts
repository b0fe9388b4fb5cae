import { createHash } from 'node:crypto';
import { createReadStream, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { BantamError } from '../base/errors.js';
import type { InferenceModel } from '../eval/index.js';
import type { Preprocess } from '../models/index.js';

/** The model of vectors. */
export interface ModelIdentity {
  /** SHA-256 over its weights, configuration, tokenizer and preprocessing. */
  readonly hash: string;
  readonly directory: string;
  readonly imageSize: number;
  readonly preprocess: Preprocess;
}

const modelFiles =
  /\.(safetensors|bin|pt|pth|ckpt|gz|model)$|^(open_clip_config|config|preprocessor_config|bantam|tokenizer|tokenizer_config|vocab|merges|special_tokens_map|added_tokens|.*\.index)\.(json|txt)$/;

const known = new WeakMap<InferenceModel, Promise<ModelIdentity>>();

/**
 * Identity of a model: a hash over the files that decide its features, by name and content, and
 * over its preprocessing. Precision is not part of it: the same model in int8 may search
 * what it embedded in fp32.
 *
 * @throws BantamError if the directory holds none of these files.
 */
export function identifyModel(model: InferenceModel): Promise<ModelIdentity> {
  const found = known.get(model) ?? identify(model);
  known.set(model, found);
  return found;
}

async function identify({ directory, loaded }: InferenceModel): Promise<ModelIdentity> {
  const { preprocess, config } = loaded;
  const names = readdirSync(directory)
    .filter((name) => modelFiles.test(name))
    .sort();
  if (names.length === 0) throw new BantamError(`${directory} holds no files of a model.`);
  const hash = createHash('sha256');
  for (const name of names) {
    const file = createHash('sha256');
    await pipeline(createReadStream(join(directory, name), { highWaterMark: 2 ** 20 }), file);
    hash.update(`${name} ${file.digest('hex')}\n`);
  }
  const { imageSize } = config.vision;
  const { contextLength } = config.text;
  // Both can be changed on loading.
  hash.update(JSON.stringify([canonical(preprocess), imageSize, contextLength]));
  return { hash: hash.digest('hex'), directory, imageSize, preprocess };
}

/** The members of an object in the order of their names. */
function canonical(value: object): [string, unknown][] {
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
}
