import { onDevice } from '@bantam/torch';
import { createModel } from '../clip.js';
import type { ModelConfig } from '../config.js';
import { imageTowerKind, textTowerKind } from '../towers.js';
import { decoderFlops, imageTokens } from '../towers/decoder/multimodal-decoder.js';
import { checkPatchDropout } from '../towers/image/pixels.js';

/** One number for each tower, and for the decoder if there is one. */
export interface PerTower {
  /** Per image. */
  image: number;
  /** Per caption. */
  text: number;
  /** Per image with its caption. */
  decoder?: number;
}

/** Numbers of parameters. */
export interface ParameterCounts {
  image: number;
  text: number;
  /** Of the decoder; absent: there is none. */
  decoder?: number;
  /** All of them, the logit scale, and the logits' bias if there is one. */
  total: number;
}

/** Options of {@link modelFlops}. */
export interface ModelFlopsOptions {
  /** Tokens of the caption; default: the whole context. */
  captionTokens?: number;
  /** Count a training step, without the patches that it drops. Default false. */
  training?: boolean;
  /** Fraction of the patches that training drops; default: the configuration's. */
  patchDropout?: number | undefined;
  /** Side length of the images in pixels; default: the configuration's. */
  imageSize?: number | undefined;
}

/**
 * FLOPs of one forward pass: 2 per multiply-add of matrix products, convolutions and
 * attention, as the model is defined (the last block of a transformer counts in full, though only
 * one of its tokens is computed). A training step takes about three times as many.
 *
 * @throws BantamError if the image tower cannot drop patches, or its weights fit no such images.
 */
export function modelFlops(
  { embedDim, vision, text, decoder }: ModelConfig,
  options: ModelFlopsOptions = {},
): PerTower {
  const { captionTokens = text.contextLength, training = false, patchDropout } = options;
  const { imageSize = vision.imageSize } = options;
  const kind = imageTowerKind(vision);
  checkPatchDropout(patchDropout, vision, kind);
  kind.checkImageSize(vision, imageSize);
  return {
    image: kind.flops({ ...vision, imageSize }, { embedDim, training, patchDropout }),
    text: textTowerKind(text).flops(text, { embedDim, tokens: captionTokens }),
    ...(decoder !== null && {
      decoder: decoderFlops(decoder, {
        ...text,
        tokens: captionTokens,
        imageTokens: imageTokens({ embedDim, vision: { ...vision, imageSize } }).count,
      }),
    }),
  };
}

/** Numbers of parameters: those of the model, made without memory. */
export function parameterCount(config: ModelConfig): ParameterCounts {
  using model = onDevice('meta', () => createModel(config, { generator: null }));
  const size = (module: { parameters(): { size: number }[] }) =>
    module.parameters().reduce((sum, parameter) => sum + parameter.size, 0);
  const { visual, text, textDecoder } = model;
  return {
    image: size(visual),
    text: size(text),
    ...(textDecoder !== null && { decoder: size(textDecoder) }),
    total: size(model),
  };
}
