import { BantamError } from '../errors.js';
import {
  count,
  finite,
  flag,
  index,
  isObject,
  object,
  oneOf,
  optional,
  positive,
  readFields,
  share,
  text,
  type Fields,
} from './fields.js';

/** What image and text transformer have in common. */
export interface TowerConfig {
  /** Length of a token's vector. */
  readonly width: number;
  /** Number of residual blocks. */
  readonly layers: number;
  /** Hidden units of a block's MLP as a multiple of the width. */
  readonly mlpRatio: number;
  /** First value of the layer scale (Touvron et al. 2021, eq. 2); null: none. */
  readonly lsInitValue: number | null;
  /** Added to the variance by every layer norm. */
  readonly normEps: number;
  /** GELU by its tanh approximation, in place of the error function. */
  readonly geluTanh: boolean;
}

/** A vision transformer (Dosovitskiy et al. 2021) as CLIP has it (Radford et al. 2021). */
export interface VisionConfig extends TowerConfig {
  /** Edge of the square input in pixels. */
  readonly imageSize: number;
  /** Edge of a square patch in pixels. */
  readonly patchSize: number;
  /** Width of one attention head. */
  readonly headWidth: number;
  /** Share of the patches that each training image leaves out (FLIP, Li et al. 2023). */
  readonly patchDropout: number;
  /** Leave out the layer norm before the first block. */
  readonly noLnPre: boolean;
  /** The picture's vector: the class token, or the mean of the patches. */
  readonly poolType: 'tok' | 'avg';
  /** Pool first, then apply the last layer norm. */
  readonly finalLnAfterPool: boolean;
}

/** A text transformer as CLIP has it. */
export interface TextConfig extends TowerConfig {
  /** The most tokens of a text. */
  readonly contextLength: number;
  /** Rows of the token embedding. */
  readonly vocabSize: number;
  /** Number of attention heads. */
  readonly heads: number;
  /** Let every token see the tokens after it too. */
  readonly noCausalMask: boolean;
  /** The text's vector: at its highest id, first, last place, or first {@link eosId}. */
  readonly poolType: 'argmax' | 'first' | 'last' | 'eos';
  /** Id that fills a text up to the context, where pooling or mask depends on it. */
  readonly padId: number;
  /** Id that `poolType: 'eos'` looks for. */
  readonly eosId: number;
  /** `none`: the pooled vector is the feature. */
  readonly projType: 'linear' | 'none';
  /** Whether the last projection has a bias. */
  readonly projBias: boolean;
  /** The tokenizer's name among Hugging Face's; null: OpenAI CLIP's BPE. */
  readonly hfTokenizerName: string | null;
  /** OpenCLIP's options of the tokenizer. */
  readonly tokenizerKwargs: Readonly<Record<string, unknown>> | null;
}

/**
 * All that defines a CLIP model but its weights. The members are those of OpenCLIP's `model_cfg`
 * in camelCase; it is plain JSON.
 */
export interface ModelConfig {
  /** Length of the features of both towers. */
  readonly embedDim: number;
  /** x·σ(1.702x) in place of GELU in both towers, as OpenAI's models have it. */
  readonly quickGelu: boolean;
  /** Text parameters under `text.` in checkpoints; without it they are at the top. */
  readonly customText: boolean;
  /** First value of the logit scale's logarithm. */
  readonly initLogitScale: number;
  readonly vision: VisionConfig;
  readonly text: TextConfig;
}

/** A configuration with only what differs from the defaults. */
export type ModelConfigInput = Partial<Omit<ModelConfig, 'vision' | 'text'>> & {
  readonly vision?: Partial<VisionConfig>;
  readonly text?: Partial<TextConfig>;
};

/** OpenCLIP's defaults and limits of what both towers have. */
const towerFields = {
  layers: count(12),
  mlpRatio: positive(4),
  lsInitValue: optional(positive(1)),
  normEps: positive(1e-5),
  geluTanh: flag(false),
};

/** Members of {@link VisionConfig}, with OpenCLIP's defaults. */
export const visionFields: Fields<VisionConfig> = {
  imageSize: count(224),
  patchSize: count(16),
  width: count(768),
  headWidth: count(64),
  ...towerFields,
  patchDropout: share(0),
  noLnPre: flag(false),
  poolType: oneOf('tok', 'avg'),
  finalLnAfterPool: flag(false),
};

/** Members of {@link TextConfig}, with OpenCLIP's defaults. */
export const textFields: Fields<TextConfig> = {
  contextLength: count(77),
  vocabSize: count(49408),
  width: count(512),
  heads: count(8),
  ...towerFields,
  noCausalMask: flag(false),
  poolType: oneOf('argmax', 'first', 'last', 'eos'),
  padId: index(0),
  eosId: index(2),
  projType: oneOf('linear', 'none'),
  projBias: flag(false),
  hfTokenizerName: optional(text()),
  tokenizerKwargs: optional(object()),
};

/** Members of {@link ModelConfig} beside its towers, with OpenCLIP's defaults. */
export const topFields: Fields<Omit<ModelConfig, 'vision' | 'text'>> = {
  embedDim: count(),
  quickGelu: flag(false),
  customText: flag(false),
  initLogitScale: finite(Math.log(1 / 0.07)),
};

/**
 * Reads a model configuration from JSON. Absent members have OpenCLIP's defaults; `embedDim` must
 * be given.
 *
 * @throws BantamError naming an unknown member and the nearest known one, a value that is not
 * accepted, or sizes that do not fit together.
 */
export function parseModelConfig(value: unknown): ModelConfig {
  const where = 'The model configuration';
  const towers = {
    vision: { wanted: 'an object', accepts: isObject, fallback: {} },
    text: { wanted: 'an object', accepts: isObject, fallback: {} },
  };
  const top = readFields<Omit<ModelConfig, 'vision' | 'text'> & { vision: object; text: object }>(
    value,
    { ...topFields, ...towers },
    where,
  );
  const config: ModelConfig = {
    ...top,
    vision: readFields(top.vision, visionFields, `${where}'s "vision"`),
    text: readFields(top.text, textFields, `${where}'s "text"`),
  };
  checkSizes(config);
  return config;
}

/** The configuration with other values in place of some of its own. */
export function withChanges(config: ModelConfig, changes: ModelConfigInput): ModelConfig {
  return parseModelConfig({
    ...config,
    ...changes,
    vision: { ...config.vision, ...changes.vision },
    text: { ...config.text, ...changes.text },
  });
}

/** Patches along one edge of the picture. */
export function gridSize({ imageSize, patchSize }: VisionConfig): number {
  return imageSize / patchSize;
}

/** Attention heads of the image tower. */
export function visionHeads({ width, headWidth }: VisionConfig): number {
  return width / headWidth;
}

/** Hidden units of a block's MLP, rounded down as OpenCLIP does. */
export function mlpWidth({ width, mlpRatio }: TowerConfig): number {
  return Math.floor(width * mlpRatio);
}

function checkSizes({ embedDim, vision, text }: ModelConfig): void {
  requireMultiple('imageSize', vision.imageSize, 'patchSize', vision.patchSize, 'vision');
  requireMultiple('width', vision.width, 'headWidth', vision.headWidth, 'vision');
  requireMultiple('width', text.width, 'heads', text.heads, 'text');
  for (const [name, tower] of Object.entries({ vision, text })) {
    if (mlpWidth(tower) >= 1) continue;
    throw new BantamError(`"mlpRatio" of "${name}" leaves no hidden unit; make it larger.`);
  }
  if (text.projType === 'none' && text.width !== embedDim) {
    throw new BantamError(
      `Without a projection the width of "text" (${text.width}) is the length of the features; ` +
        `set "embedDim" (${embedDim}) to it, or "projType" to "linear".`,
    );
  }
  for (const id of ['padId', 'eosId'] as const) {
    const used = id === 'padId' ? needsContext(text) : text.poolType === 'eos';
    if (!used || text[id] < text.vocabSize) continue;
    throw new BantamError(
      `"${id}" of "text" is ${text[id]}, but the ids of ${text.vocabSize} tokens end before it.`,
    );
  }
}

/**
 * Whether features depend on the padding behind a text, so that every text must be filled up to
 * the context: without a causal mask, or pooled at the last place.
 */
export function needsContext({ noCausalMask, poolType }: TextConfig): boolean {
  return noCausalMask || poolType === 'last';
}

function requireMultiple(
  name: string,
  value: number,
  divisorName: string,
  divisor: number,
  where: string,
): void {
  if (value % divisor === 0) return;
  throw new BantamError(
    `"${name}" of "${where}" (${value}) must be a multiple of "${divisorName}" (${divisor}).`,
  );
}
