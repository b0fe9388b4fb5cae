import { BantamError } from '../../../base/errors.js';
import { count, optional, positive, type Fields } from '../../../base/fields.js';
import { attendFlops } from '../../blocks/attention.js';
import {
  isPlain,
  plainBlocks,
  transformerFlops,
  type TransformerConfig,
} from '../../blocks/transformer-config.js';
import { gridSize } from '../image/vit-config.js';
import { isTextTransformer } from '../text/text-transformer-config.js';
import type { TextConfig, VisionConfig } from '../../towers.js';

/**
 * The decoder of a captioning model (CoCa, Yu et al. 2022, section 3.2): what OpenCLIP's
 * `multimodal_cfg` can choose freely. Width, context and vocabulary are those of the text tower.
 */
export interface DecoderConfig {
  /** Layers, each a block that attends to the text and one that attends to the picture. */
  readonly layers: number;
  /** Number of attention heads. */
  readonly heads: number;
  /** First value of the layer scale (Touvron et al. 2021, eq. 2); null: none. */
  readonly lsInitValue: number | null;
}

/** Members of {@link DecoderConfig}, with OpenCLIP's defaults. */
export const decoderFields: Fields<DecoderConfig> = {
  layers: count(12),
  heads: count(8),
  lsInitValue: optional(positive(1)),
};

/** The decoder's blocks of either sort: in OpenCLIP always with MLPs of four times the width. */
export function decoderBlocks(
  { layers, lsInitValue }: DecoderConfig,
  width: number,
): TransformerConfig {
  return {
    ...plainBlocks,
    width,
    layers,
    lsInitValue,
    mlpRatio: 4,
    normEps: 1e-5,
    geluTanh: false,
  };
}

/** The parts of a model that a decoder depends on. */
interface DecodedModel {
  readonly embedDim: number;
  readonly customText: boolean;
  readonly vision: VisionConfig;
  readonly text: TextConfig;
  readonly decoder: DecoderConfig | null;
}

/** Number and length of the vectors that a picture's tokens are, for a tower that OpenCLIP can decode. */
export function imageTokens({ embedDim, vision }: Pick<DecodedModel, 'embedDim' | 'vision'>): {
  count: number;
  width: number;
} {
  if (vision.type !== 'vit') return { count: 0, width: 0 };
  const { attentionalPool, attnPoolerQueries, width } = vision;
  if (attentionalPool === false) return { count: gridSize(vision) ** 2, width };
  const count = attentionalPool === true ? attnPoolerQueries - 1 : attnPoolerQueries;
  return { count, width: embedDim };
}

/** @throws BantamError where a decoder of this configuration cannot be in such a model. */
export function checkDecoder({ decoder, ...model }: DecodedModel): void {
  if (decoder === null) return;
  const { customText, text, vision } = model;
  if (!customText) {
    throw new BantamError(
      'A model with a "decoder" keeps its text parameters under "text."; set "customText" to true.',
    );
  }
  if (vision.type !== 'vit') {
    throw new BantamError(
      `A "decoder" reads the tokens of a "vision" of type "vit", not "${vision.type}"; choose that, or set "decoder" to null.`,
    );
  }
  if (!isTextTransformer(text) || text.noCausalMask || !isPlain(text)) {
    throw new BantamError(
      'A "decoder" needs a "text" of type "transformer" with a causal mask and plain blocks; set them so, or "decoder" to null.',
    );
  }
  const { count, width } = imageTokens(model);
  if (width !== text.width) {
    throw new BantamError(
      `The "decoder" is as wide as "text" (${text.width}), but the picture's tokens have a width of ${width}; make the two equal.`,
    );
  }
  if (count < 1) {
    throw new BantamError(
      'The "decoder" has no token of the picture to read; set "attnPoolerQueries" of "vision" to more than 1.',
    );
  }
  if (width % decoder.heads !== 0) {
    throw new BantamError(
      `"width" of "text" (${width}) must be a multiple of "heads" of "decoder" (${decoder.heads}).`,
    );
  }
}

/** Sizes that {@link decoderFlops} depends on. */
export interface DecoderSizes {
  width: number;
  vocabSize: number;
  /** Tokens of the text, and of the picture. */
  tokens: number;
  imageTokens: number;
}

/** Operations of the decoder for one caption of n tokens and a picture of m. */
export function decoderFlops(
  config: DecoderConfig,
  { width, vocabSize, tokens, imageTokens }: DecoderSizes,
): number {
  const self = transformerFlops(decoderBlocks(config, width), tokens);
  // Queries, output and MLP for each token of the text, keys and values for each of the picture.
  const cross =
    attendFlops({ queries: tokens, tokens: imageTokens, width }) +
    2 * width ** 2 * (10 * tokens + 2 * imageTokens);
  return self + config.layers * cross + 2 * tokens * width * vocabSize;
}

/** Finds the layer of a parameter in its name within the decoder: a layer is two blocks. */
export const decoderLayers = /^(?:resblocks|cross_attn)\.(\d+)\./;
