import { BantamError } from '../../../base/errors.js';
import { isObject } from '../../../base/schema.js';
import { mlpWidth } from '../../blocks/transformer-config.js';
import { parseModelConfig, type ModelConfig } from '../../config.js';
import { isTextTransformer } from '../../towers/text/text-transformer.js';
import { sideLength } from '../../towers/open-clip-members.js';
import { configDifference } from './format.js';

/** Kinds of models of Hugging Face's that Bantam has. */
export type HubModelType = 'clip' | 'siglip';

/** A `config.json`, or one of its parts. */
export type HubConfig = Readonly<Record<string, unknown>>;

const common = { num_hidden_layers: 12, num_channels: 3 };

/** Defaults of `transformers` for members that a file leaves out. */
const defaults = {
  clip: {
    text: {
      ...common,
      hidden_size: 512,
      intermediate_size: 2048,
      num_attention_heads: 8,
      max_position_embeddings: 77,
      vocab_size: 49408,
      hidden_act: 'quick_gelu',
      layer_norm_eps: 1e-5,
      eos_token_id: 49407,
      pad_token_id: 1,
    },
    vision: {
      ...common,
      hidden_size: 768,
      intermediate_size: 3072,
      num_attention_heads: 12,
      image_size: 224,
      patch_size: 32,
      hidden_act: 'quick_gelu',
      layer_norm_eps: 1e-5,
    },
  },
  siglip: {
    text: {
      ...common,
      hidden_size: 768,
      intermediate_size: 3072,
      num_attention_heads: 12,
      max_position_embeddings: 64,
      vocab_size: 32000,
      hidden_act: 'gelu_pytorch_tanh',
      layer_norm_eps: 1e-6,
      eos_token_id: 49407,
      pad_token_id: 1,
    },
    vision: {
      ...common,
      hidden_size: 768,
      intermediate_size: 3072,
      num_attention_heads: 12,
      image_size: 224,
      patch_size: 16,
      hidden_act: 'gelu_pytorch_tanh',
      layer_norm_eps: 1e-6,
    },
  },
} as const;

/** Activations by Hugging Face's names. */
const activations: Readonly<Record<string, 'quick-gelu' | 'gelu' | 'gelu-tanh'>> = {
  quick_gelu: 'quick-gelu',
  gelu: 'gelu',
  gelu_pytorch_tanh: 'gelu-tanh',
  gelu_new: 'gelu-tanh',
};

/** `eos_token_id` of a `CLIPModel` that pools at the highest id, as all did before 2023. */
const HIGHEST_ID = 2;

/**
 * Reads the `config.json` of a `CLIPModel` or `SiglipModel`.
 *
 * @throws BantamError if it asks for what Bantam does not have.
 */
export function fromHubConfig(document: HubConfig, type: HubModelType): ModelConfig {
  const part = (name: 'text' | 'vision'): HubConfig => {
    // Older files have the true values in a second object.
    const legacy = document[`${name}_config_dict`];
    const given = isObject(legacy) ? legacy : document[`${name}_config`];
    return { ...defaults[type][name], ...(isObject(given) ? given : {}) };
  };
  const [text, vision] = [part('text'), part('vision')];
  if (vision.num_channels !== 3) {
    throw new BantamError(
      `"num_channels" of vision_config is ${JSON.stringify(vision.num_channels)}; Bantam's image towers take 3.`,
    );
  }
  const acts = { vision: activation(vision, 'vision'), text: activation(text, 'text') };
  const quickGelu = acts.vision === 'quick-gelu';
  if (quickGelu !== (acts.text === 'quick-gelu')) {
    throw new BantamError(
      `One tower has QuickGELU ("hidden_act" of vision_config is ${JSON.stringify(vision.hidden_act)}, of text_config ${JSON.stringify(text.hidden_act)}); Bantam has it in both or none.`,
    );
  }
  const shared = {
    vision: { ...tower(vision), geluTanh: acts.vision === 'gelu-tanh' },
    text: {
      ...tower(text),
      geluTanh: acts.text === 'gelu-tanh',
      heads: text.num_attention_heads,
      contextLength: text.max_position_embeddings,
      vocabSize: text.vocab_size,
      // The tokenizer is in the model's own directory.
      hfTokenizerName: type,
    },
  };
  return parseModelConfig(
    type === 'clip'
      ? clipConfig({ document, vision, text, shared, quickGelu })
      : siglipConfig({ vision, text, shared, quickGelu }),
  );
}

interface Parts {
  readonly vision: HubConfig;
  readonly text: HubConfig;
  readonly shared: { readonly vision: object; readonly text: object };
  readonly quickGelu: boolean;
}

function clipConfig({
  document,
  vision,
  text,
  shared,
  quickGelu,
}: Parts & { document: HubConfig }): unknown {
  const { projection_dim: embedDim = 512, logit_scale_init_value: initLogitScale = 2.6592 } =
    document;
  const headWidth = Number(vision.hidden_size) / Number(vision.num_attention_heads);
  const eos = text.eos_token_id;
  const pooled = eos === HIGHEST_ID ? { poolType: 'argmax' } : { poolType: 'eos', eosId: eos };
  return {
    embedDim,
    quickGelu,
    initLogitScale,
    vision: { type: 'vit', ...shared.vision, headWidth },
    text: { ...shared.text, ...pooled },
  };
}

function siglipConfig({ vision, text, shared, quickGelu }: Parts): unknown {
  if (quickGelu) throw new BantamError("Bantam's SigLIP towers have no QuickGELU.");
  if (vision.vision_use_head === false) {
    throw new BantamError('"vision_use_head" of vision_config is false; Bantam needs the head.');
  }
  const { projection_size: size } = text;
  return {
    embedDim: size ?? text.hidden_size,
    customText: true,
    initLogitScale: Math.log(10),
    initLogitBias: -10,
    vision: { type: 'siglip-vit', ...shared.vision, heads: vision.num_attention_heads },
    text: {
      ...shared.text,
      padId: text.pad_token_id,
      noCausalMask: true,
      poolType: 'last',
      projBias: true,
    },
  };
}

function activation(part: HubConfig, name: string): 'quick-gelu' | 'gelu' | 'gelu-tanh' {
  const found = activations[String(part.hidden_act)];
  if (found !== undefined) return found;
  throw new BantamError(
    `"hidden_act" of ${name}_config is ${JSON.stringify(part.hidden_act)}, which Bantam does not have; it must be one of: ${Object.keys(activations).join(', ')}.`,
  );
}

/** Members that all towers have. */
function tower(part: HubConfig): object {
  return {
    width: part.hidden_size,
    layers: part.num_hidden_layers,
    mlpRatio: ratio(Number(part.intermediate_size), Number(part.hidden_size)),
    normEps: part.layer_norm_eps,
    ...('image_size' in part && { imageSize: sideLength(part.image_size) }),
    ...('patch_size' in part && { patchSize: sideLength(part.patch_size) }),
  };
}

/** The shortest decimal number whose product with the width rounds down to the hidden units. */
function ratio(hidden: number, width: number): number {
  for (let digits = 0; digits < 15; digits++) {
    const candidate = Math.ceil((hidden / width) * 10 ** digits) / 10 ** digits;
    if (mlpWidth({ width, mlpRatio: candidate }) === hidden) return candidate;
  }
  return hidden / width;
}

/** Ids that `transformers` likes to know of; a model does not need them. */
export interface HubTokenIds {
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  readonly padding?: number | undefined;
}

/**
 * The `config.json` by which `transformers` builds the same model.
 *
 * @throws BantamError naming what its models have no place for.
 */
export function toHubConfig(
  config: ModelConfig,
  { start, end, padding }: HubTokenIds = {},
): HubConfig {
  const { vision, text, embedDim, quickGelu } = config;
  if (vision.type !== 'vit' && vision.type !== 'siglip-vit') {
    throw new BantamError(
      `Hugging Face's CLIPModel and SiglipModel have no image tower of the kind "${vision.type}"; save the model in OpenCLIP's format.`,
    );
  }
  if (!isTextTransformer(text)) {
    throw new BantamError(
      `Hugging Face's CLIPModel and SiglipModel have no text tower of the kind "${text.type}"; save the model in OpenCLIP's format.`,
    );
  }
  const type = vision.type === 'vit' ? 'clip' : 'siglip';
  const part = (own: typeof vision | typeof text, heads: number) => ({
    hidden_size: own.width,
    intermediate_size: mlpWidth(own),
    num_hidden_layers: own.layers,
    num_attention_heads: heads,
    hidden_act: quickGelu ? 'quick_gelu' : own.geluTanh ? 'gelu_pytorch_tanh' : 'gelu',
    layer_norm_eps: own.normEps,
  });
  const visionHeads = vision.type === 'vit' ? vision.width / vision.headWidth : vision.heads;
  const document = {
    model_type: type,
    architectures: [type === 'clip' ? 'CLIPModel' : 'SiglipModel'],
    ...(type === 'clip' && {
      projection_dim: embedDim,
      logit_scale_init_value: config.initLogitScale,
    }),
    vision_config: {
      model_type: `${type}_vision_model`,
      ...part(vision, visionHeads),
      image_size: vision.imageSize,
      patch_size: vision.patchSize,
      ...(type === 'clip' && { projection_dim: embedDim }),
    },
    text_config: {
      model_type: `${type}_text_model`,
      ...part(text, text.heads),
      max_position_embeddings: text.contextLength,
      vocab_size: text.vocabSize,
      ...(type === 'clip' ? { projection_dim: embedDim } : { projection_size: embedDim }),
      ...(start !== undefined && { bos_token_id: start }),
      ...(end !== undefined && { eos_token_id: end }),
      ...(padding !== undefined && { pad_token_id: padding }),
      ...(type === 'siglip' && padding === undefined && { pad_token_id: text.padId }),
      // By this its text tower pools.
      ...(type === 'clip' && { eos_token_id: text.poolType === 'eos' ? text.eosId : HIGHEST_ID }),
    },
  };
  requireSame(config, fromHubConfig(document, type), type);
  return document;
}

/** @throws BantamError naming the first member that is not what a reader of the file would take. */
function requireSame(config: ModelConfig, read: ModelConfig, type: HubModelType): void {
  const { vision, text } = config;
  // Neither a pooled class token nor another ratio of equally many hidden units makes a difference.
  const same: ModelConfig = {
    ...config,
    initLogitBias: config.initLogitBias === null ? null : read.initLogitBias,
    vision: {
      ...vision,
      mlpRatio: (read.vision as { mlpRatio: number }).mlpRatio,
      ...(vision.type === 'vit' && vision.poolType === 'tok' && { finalLnAfterPool: false }),
    } as typeof vision,
    text: { ...text, mlpRatio: read.text.mlpRatio },
  };
  const member = configDifference(same, read);
  if (member === undefined) return;
  throw new BantamError(
    `Hugging Face's ${type === 'clip' ? 'CLIPModel' : 'SiglipModel'} has no place for ${member}; save the model in OpenCLIP's format.`,
  );
}
