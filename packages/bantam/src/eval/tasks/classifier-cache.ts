import { cat, reshape, scope, split, type Tensor } from '@bantam/torch';
import { at } from '../../base/at.js';
import type { LabelSet, Prompts } from '../../data/index.js';
import type { LoadedModel } from '../../models/index.js';
import { encodeTexts, type EncodeOptions, type EncodeTextsOptions } from '../encode.js';
import type { FeatureStore } from '../features/feature-store.js';
import { classPrompts } from '../own-prompts.js';
import {
  zeroShotProtocols,
  type ZeroShotProtocol,
  type ZeroShotProtocolName,
} from '../protocols/protocols.js';
import { resolveTemplates } from '../protocols/label-data.js';

export interface ClassifierOptions extends EncodeOptions {
  /** Prompts or the name of a list, see {@link classPrompts}; the data's own by default. */
  readonly templates?: string | Prompts;
  /** Keeps features of texts between runs. */
  readonly store?: FeatureStore;
}

/** Text features, kept in a store if there is one. */
export function textFeatures(
  loaded: LoadedModel,
  texts: readonly string[],
  {
    store,
    helpers,
    precision,
    batchSize,
    maxTokens,
    signal,
  }: EncodeTextsOptions & { store?: FeatureStore },
): Promise<Tensor> {
  const options: EncodeTextsOptions = {
    helpers,
    ...(precision !== undefined && { precision }),
    ...(batchSize !== undefined && { batchSize }),
    ...(maxTokens !== undefined && { maxTokens }),
    signal,
  };
  return store === undefined
    ? encodeTexts(loaded, texts, options)
    : store.texts(loaded, texts, options);
}

/** Classifier weights, made once for data sets that have classes and prompts in common. */
export class ClassifierCache {
  readonly #made = new Map<string, Tensor>();

  constructor(
    readonly loaded: LoadedModel,
    readonly options: ClassifierOptions,
  ) {}

  /** Class vectors [C, D] by a protocol. */
  async weights(
    { classes, templates: own }: Pick<LabelSet, 'classes' | 'templates'>,
    protocolName: ZeroShotProtocolName,
  ): Promise<Tensor> {
    const protocol = zeroShotProtocols[protocolName];
    const prompts = this.#prompts(classes, own, protocol);
    const key = JSON.stringify([protocolName, prompts]);
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const { maxTokens } = protocol;
    const features = await textFeatures(this.loaded, prompts.flat(), {
      ...this.options,
      ...(maxTokens !== undefined && { maxTokens }),
    });
    const counts = prompts.map(({ length }) => length);
    const isEven = counts.every((count) => count === counts[0]);
    const { embedDim } = this.loaded.config;
    // Classes may have different numbers of prompts.
    const weights = scope(() =>
      isEven
        ? protocol.weights(reshape(features, [counts.length, at(counts, 0), embedDim]))
        : cat(
            split(features, counts).map((rows) =>
              protocol.weights(reshape(rows, [1, -1, embedDim])),
            ),
          ),
    );
    features.dispose();
    this.#made.set(key, weights);
    return weights;
  }

  /** The prompts of each class, as the protocol writes them. */
  #prompts(
    classes: readonly string[],
    own: readonly string[],
    protocol: ZeroShotProtocol,
  ): readonly (readonly string[])[] {
    const { templates } = this.options;
    if (templates instanceof Map) {
      return classPrompts(classes, templates).map((texts) =>
        texts.map((text) => protocol.template(text)),
      );
    }
    const names = classes.map((name) => protocol.className(name));
    if (templates === undefined) return classPrompts(names, protocol.templates(own));
    const chosen = resolveTemplates(templates as string | readonly string[]);
    return classPrompts(
      names,
      chosen.map((text) => protocol.template(text)),
    );
  }

  dispose(): void {
    for (const weights of this.#made.values()) weights.dispose();
  }
}
