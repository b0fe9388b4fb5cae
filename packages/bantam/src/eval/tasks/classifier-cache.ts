import { reshape, scope, type Tensor } from '@bantam/torch';
import type { LabelSet } from '../../data/index.js';
import type { LoadedModel } from '../../models/index.js';
import { encodeTexts, type EncodeOptions, type EncodeTextsOptions } from '../encode.js';
import type { FeatureStore } from '../features/feature-store.js';
import { zeroShotProtocols, type ZeroShotProtocolName } from '../protocols/protocols.js';
import { fillTemplate, resolveTemplates } from '../protocols/templates.js';

export interface ClassifierOptions extends EncodeOptions {
  /** Prompts or the name of a list, see {@link resolveTemplates}; the data's own by default. */
  readonly templates?: string | readonly string[];
  /** Keeps features of texts between runs. */
  readonly store?: FeatureStore;
}

/** Text features, kept in a store if there is one. */
export function textFeatures(
  loaded: LoadedModel,
  texts: readonly string[],
  { store, precision, batchSize, maxTokens }: EncodeTextsOptions & { store?: FeatureStore },
): Promise<Tensor> {
  const options: EncodeTextsOptions = {
    ...(precision !== undefined && { precision }),
    ...(batchSize !== undefined && { batchSize }),
    ...(maxTokens !== undefined && { maxTokens }),
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
    const { templates: chosen } = this.options;
    const templates =
      chosen === undefined
        ? protocol.templates(own)
        : resolveTemplates(chosen).map((text) => protocol.template(text));
    const names = classes.map((name) => protocol.className(name));
    const key = JSON.stringify([protocolName, names, templates]);
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const prompts = names.flatMap((name) =>
      templates.map((template) => fillTemplate(template, name)),
    );
    const { maxTokens } = protocol;
    const features = await textFeatures(this.loaded, prompts, {
      ...this.options,
      ...(maxTokens !== undefined && { maxTokens }),
    });
    const shape = [names.length, templates.length, this.loaded.config.embedDim];
    const weights = scope(() => protocol.weights(reshape(features, shape)));
    features.dispose();
    this.#made.set(key, weights);
    return weights;
  }

  dispose(): void {
    for (const weights of this.#made.values()) weights.dispose();
  }
}
