/** The files by which transformers.js and Hugging Face's libraries read an exported directory. */
import { BantamError } from '../../base/errors.js';
import {
  toHubConfig,
  toHubPreprocess,
  type HubConfig,
  type ModelConfig,
  type Preprocess,
} from '../../models/index.js';
import type { Tokenizer } from '../../text/index.js';

/** Options of {@link hubConfig}. */
export interface HubConfigOptions {
  readonly tokenizer: Tokenizer;
  /** Weights are in files of their own. */
  readonly externalData: boolean;
}

/**
 * The kind of model for transformers.js: one with a bias of the logits is a `siglip`, as only for
 * those it takes the sigmoid of the logits, whatever the towers are.
 */
function hubType({ initLogitBias }: ModelConfig): 'clip' | 'siglip' {
  return initLogitBias === null ? 'clip' : 'siglip';
}

/**
 * `config.json` as transformers.js reads it. Models that Hugging Face has no class for, such as
 * those with a ResNet, have a short one: the graphs hold all else, and transformers.js reads no more
 * than type and sizes.
 */
export function hubConfig(
  config: ModelConfig,
  { tokenizer, externalData }: HubConfigOptions,
): HubConfig {
  const full = hubDescription(config, tokenizer);
  return {
    ...(full?.model_type === hubType(config) ? full : plainDescription(config)),
    ...(externalData && { 'transformers.js_config': { use_external_data_format: true } }),
  };
}

/** Hugging Face's own description of the model; undefined: it has none. */
function hubDescription(
  config: ModelConfig,
  { sotId, eotId, padId }: Tokenizer,
): HubConfig | undefined {
  const known = (id: number) => (id < 0 ? undefined : id);
  try {
    return toHubConfig(config, { start: known(sotId), end: known(eotId), padding: known(padId) });
  } catch (error) {
    if (error instanceof BantamError) return undefined;
    throw error;
  }
}

function plainDescription(config: ModelConfig): HubConfig {
  const { vision, text, embedDim } = config;
  const type = hubType(config);
  return {
    model_type: type,
    architectures: [type === 'clip' ? 'CLIPModel' : 'SiglipModel'],
    projection_dim: embedDim,
    vision_config: {
      model_type: `${type}_vision_model`,
      image_size: vision.imageSize,
      projection_dim: embedDim,
    },
    text_config: {
      model_type: `${type}_text_model`,
      hidden_size: text.width,
      max_position_embeddings: text.contextLength,
      vocab_size: text.vocabSize,
      projection_dim: embedDim,
    },
  };
}

/** `preprocessor_config.json` */
export function hubPreprocess(config: ModelConfig, preprocess: Preprocess): HubConfig {
  return toHubPreprocess(preprocess, hubType(config));
}
