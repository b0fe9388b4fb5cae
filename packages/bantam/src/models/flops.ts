import { gridSize, mlpWidth, needsContext, type ModelConfig, type TowerConfig } from './config.js';

/** Floating-point operations of one forward pass. */
export interface ModelFlops {
  /** Per image. */
  image: number;
  /** Per caption. */
  text: number;
}

/** Numbers of parameters. */
export interface ParameterCounts {
  image: number;
  text: number;
  /** Both towers and the logit scale. */
  total: number;
}

/** Options of {@link modelFlops}. */
export interface ModelFlopsOptions {
  /** Tokens of the caption; default: the whole context. */
  captionTokens?: number;
  /** Leave out the patches that training with `patchDropout` leaves out. Default false. */
  training?: boolean;
}

/**
 * Operations of one forward pass: 2 per multiply-add of the matrix products and of attention, as
 * the model is defined (the last block counts in full, though only one of its tokens is computed).
 * A training step takes about three times as many.
 *
 * A block of width w with n tokens and h hidden units has 2n(4w² + 2wh) + 4n²w.
 */
export function modelFlops(
  config: ModelConfig,
  { captionTokens = config.text.contextLength, training = false }: ModelFlopsOptions = {},
): ModelFlops {
  const { embedDim, vision, text } = config;
  const patches = gridSize(vision) ** 2;
  const dropped = training ? vision.patchDropout : 0;
  const kept = dropped === 0 ? patches : Math.max(1, Math.floor(patches * (1 - dropped)));
  const embedding = 2 * patches * vision.width * 3 * vision.patchSize ** 2;
  const places = needsContext(text) ? text.contextLength : captionTokens;
  const textProjection = text.projType === 'none' ? 0 : 2 * text.width * embedDim;
  return {
    image: embedding + blockFlops(vision, kept + 1) + 2 * vision.width * embedDim,
    text: blockFlops(text, places) + textProjection,
  };
}

function blockFlops(tower: TowerConfig, tokens: number): number {
  const { width, layers } = tower;
  const products = 2 * tokens * (4 * width ** 2 + 2 * width * mlpWidth(tower));
  return layers * (products + 4 * tokens ** 2 * width);
}

/** Numbers of parameters, without making the model. */
export function parameterCount({ embedDim, vision, text }: ModelConfig): ParameterCounts {
  const norm = 2 * vision.width;
  const image =
    vision.width * 3 * vision.patchSize ** 2 +
    vision.width * (gridSize(vision) ** 2 + 2) +
    (vision.noLnPre ? norm : 2 * norm) +
    blockParameters(vision) +
    vision.width * embedDim;
  const projection =
    text.projType === 'none' ? 0 : text.width * embedDim + (text.projBias ? embedDim : 0);
  const words =
    text.width * (text.vocabSize + text.contextLength + 2) + blockParameters(text) + projection;
  return { image, text: words, total: image + words + 1 };
}

function blockParameters(tower: TowerConfig): number {
  const { width, layers, lsInitValue } = tower;
  const hidden = mlpWidth(tower);
  const attention = 4 * (width ** 2 + width);
  const mlp = 2 * width * hidden + hidden + width;
  const scales = lsInitValue === null ? 0 : 2 * width;
  return layers * (4 * width + attention + mlp + scales);
}
