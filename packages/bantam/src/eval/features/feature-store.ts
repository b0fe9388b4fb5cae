import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { loadSafetensors, saveSafetensors, type Tensor } from '@bantam/torch';
import * as v from 'valibot';
import { cacheDirectory } from '../../base/cache-dir.js';
import { makeFolder } from '../../base/make-folder.js';
import type { QuarantinedSample, Source } from '../../data/index.js';
import type { LoadedModel } from '../../models/index.js';
import { embedSource, type Embeddings, type EmbedSourceOptions } from '../embed.js';
import { encodeTexts, type EncodeTextsOptions } from '../encode.js';
import { hashModelFiles, hashSource } from './fingerprint.js';

/** Changes with the layout of the files, so that older ones are computed anew. */
const format = 1;

export interface FeatureStoreOptions {
  /** `features` in Bantam's cache folder by default. */
  readonly folder?: string;
  /** Form that the model is loaded in, if features depend on it: `int8`. */
  readonly variant?: string;
}

/** {@link Embeddings} with the vectors before the projection. */
export type StoredEmbeddings = Embeddings & { readonly representation: Tensor };

/** Facts that a file of embeddings holds besides its tensors. */
const metadataSchema = v.object({
  keys: v.array(v.string()),
  records: v.array(v.number()),
  captions: v.array(v.string()),
  captionsOf: v.array(v.array(v.number())),
  quarantined: v.array(v.object({ key: v.string(), reason: v.string() })),
});

/**
 * Features of a model, each computed once. A file is named by what its features depend on: the model
 * directory's files, the records and their image files, preprocessing and precision; if any of
 * these changes, features are computed anew.
 */
export class FeatureStore {
  private constructor(
    readonly folder: string,
    /** SHA-256 of the model directory's files. */
    readonly modelHash: string,
  ) {}

  /**
   * @param name The model, as `loadModel` takes it.
   * @throws BantamError if its files cannot be read.
   */
  static async open(
    name: string,
    { folder = join(cacheDirectory(), 'features'), variant }: FeatureStoreOptions = {},
  ): Promise<FeatureStore> {
    const hash = await hashModelFiles(name);
    const file = [hash.slice(0, 16), ...(variant === undefined ? [] : [variant])].join('-');
    return new FeatureStore(join(folder, file), hash);
  }

  /** {@link embedSource} with both layers, or what it gave before. */
  async embed(
    loaded: LoadedModel,
    source: Source,
    options: EmbedSourceOptions = {},
  ): Promise<StoredEmbeddings> {
    const { captions = 'first', precision = 'float32', geometry, maxTokens } = options;
    const preprocess = { ...loaded.preprocess, ...geometry };
    const digest = digestOf([await hashSource(source), captions, precision, preprocess, maxTokens]);
    const path = join(this.folder, `${digest}.safetensors`);
    const stored = readEmbeddings(path);
    if (stored !== undefined) return stored;
    const embedded = await embedSource(loaded, source, { ...options, representations: true });
    const { image, representation = image, text, quarantined, records, ...facts } = embedded;
    const { keys, captions: texts, captionsOf } = facts;
    makeFolder(dirname(path));
    const metadata = { keys, records: [...records], captions: texts, captionsOf, quarantined };
    saveSafetensors(
      path,
      new Map([
        ['image', image],
        ['representation', representation],
        ['text', text],
      ]),
      { metadata: { embeddings: JSON.stringify(metadata) } },
    );
    return { ...embedded, representation };
  }

  /** {@link encodeTexts}, or what it gave before. */
  async texts(
    loaded: LoadedModel,
    texts: readonly string[],
    options: EncodeTextsOptions = {},
  ): Promise<Tensor> {
    const { precision = 'float32', maxTokens } = options;
    const path = join(this.folder, `${digestOf([texts, precision, maxTokens])}.safetensors`);
    const stored = readTensors(path)?.tensors.get('text');
    if (stored !== undefined) return stored;
    const features = await encodeTexts(loaded, texts, options);
    makeFolder(dirname(path));
    saveSafetensors(path, new Map([['text', features]]));
    return features;
  }
}

function digestOf(values: readonly unknown[]): string {
  return createHash('sha256')
    .update(JSON.stringify([format, ...values]))
    .digest('hex')
    .slice(0, 32);
}

/** A file's tensors; undefined if there is none, or a crash or a full disk cut it off. */
function readTensors(path: string): ReturnType<typeof loadSafetensors> | undefined {
  if (!existsSync(path)) return undefined;
  try {
    return loadSafetensors(path);
  } catch {
    return undefined;
  }
}

function readEmbeddings(path: string): StoredEmbeddings | undefined {
  const file = readTensors(path);
  const image = file?.tensors.get('image');
  const representation = file?.tensors.get('representation');
  const text = file?.tensors.get('text');
  const json = file?.metadata.embeddings;
  if (!image || !representation || !text || json === undefined) return undefined;
  const { records, quarantined, ...facts } = v.parse(metadataSchema, JSON.parse(json));
  const broken: readonly QuarantinedSample[] = quarantined;
  return {
    ...facts,
    records: Int32Array.from(records),
    image,
    representation,
    text,
    quarantined: broken,
  };
}
