import { createHash } from 'node:crypto';
import { relative, resolve } from 'node:path';
import { hashModelFiles, type InferenceModel } from '../eval/index.js';
import { isModelPath, type Preprocess } from '../models/index.js';

/** The model of vectors. */
export interface ModelIdentity {
  /** SHA-256 over its weights, configuration, tokenizer and preprocessing. */
  readonly hash: string;
  readonly imageSize: number;
  readonly preprocess: Preprocess;
}

const known = new WeakMap<InferenceModel, Promise<ModelIdentity>>();

/**
 * Identity of a model: a hash over the files that decide its features, by name and content, and over its
 * preprocessing. Precision is not part of it: the same model in int8 may search what it embedded
 * in fp32.
 *
 * @throws BantamError if the files are gone.
 */
export function identifyModel(model: InferenceModel): Promise<ModelIdentity> {
  const found = known.get(model) ?? identify(model);
  known.set(model, found);
  return found;
}

async function identify({ name, loaded }: InferenceModel): Promise<ModelIdentity> {
  const { preprocess, config } = loaded;
  const hash = createHash('sha256').update(await hashModelFiles(name));
  const { imageSize } = config.vision;
  const { contextLength } = config.text;
  // Both can be changed on loading.
  hash.update(JSON.stringify([canonical(preprocess), imageSize, contextLength]));
  return { hash: hash.digest('hex'), imageSize, preprocess };
}

/** The members of an object in the order of their names. */
function canonical(value: object): [string, unknown][] {
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
}

/** A model's name as an index stores it: a path relative to the index's folder, so that both can move together. */
export function storedName(name: string, folder: string): string {
  return isModelPath(name) ? relative(resolve(folder), resolve(name)) : name;
}

/** The model that {@link storedName} stored. */
export function namedModel(stored: string, folder: string): string {
  return isModelPath(stored) ? resolve(folder, stored) : stored;
}
