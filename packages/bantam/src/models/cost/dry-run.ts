import {
  formatStructure,
  Generator,
  memoryStats,
  onDevice,
  scope,
  structureOf,
  zeros,
  type Tensor,
} from '@bantam/torch';
import { createModel, type Clip } from '../clip.js';
import type { ModelConfig } from '../config.js';
import { imageTokens } from '../towers/decoder/multimodal-decoder.js';
import { modelFlops, parameterCount, type ParameterCounts, type PerTower } from './flops.js';

/** Options of {@link activationBytes}. */
export interface DryRunOptions {
  /** Tokens of the caption; default: the whole context. */
  captionTokens?: number;
}

/** Runs `body` with a model that has shapes but no memory. */
function withMetaModel<T>(config: ModelConfig, body: (model: Clip) => T): T {
  return onDevice('meta', () => {
    using model = createModel(config, { generator: null });
    return scope(() => body(model));
  });
}

/** Length of {@link ImageEncoded.representation}. */
export function representationWidth(config: ModelConfig): number {
  return withMetaModel(config, (model) => {
    const { representation } = model.eval().visual.encode(pixels(config, 1));
    return representation.dim(1);
  });
}

/** Runs the decoder on texts and images of such a model. */
function decode(
  { textDecoder, config }: Clip,
  { batch, captionTokens }: { batch: number; captionTokens: number },
): Tensor {
  if (textDecoder === null) throw new RangeError('There is no decoder.');
  const { count, width } = imageTokens(config);
  const vectors = (tokens: number) => zeros([batch, tokens, width]);
  return textDecoder.forward(vectors(captionTokens), vectors(count));
}

function pixels({ vision }: ModelConfig, batch: number): Tensor {
  return zeros([batch, 3, vision.imageSize, vision.imageSize]);
}

function ids(batch: number, tokens: number): Tensor {
  return zeros([batch, tokens], { dtype: 'int64' });
}

/**
 * Bytes in float32 that the forward pass of training keeps for the backward pass, for each further
 * sample of a batch: the cost of the batch size beside weights, gradients and optimizer. In bfloat16
 * it is about half.
 */
export function activationBytes(
  config: ModelConfig,
  { captionTokens = config.text.contextLength }: DryRunOptions = {},
): PerTower {
  return withMetaModel(config, (model) => {
    // Random tensors have a shape only, too.
    const generator = new Generator({ seed: 0 });
    const kept = (encode: (batch: number) => Tensor): number => {
      const bytes = (batch: number) =>
        scope(() => {
          const before = memoryStats().metaBytes;
          // Only its graph keeps intermediates alive.
          const pooled = scope(() => encode(batch));
          return memoryStats().metaBytes - before - bytesOf(pooled);
        });
      return bytes(2) - bytes(1);
    };
    return {
      image: kept((batch) => model.visual.encode(pixels(config, batch), { generator }).pooled),
      text: kept((batch) => model.text.encode(ids(batch, captionTokens), { generator }).pooled),
      ...(config.decoder !== null && {
        decoder: kept((batch) => decode(model, { batch, captionTokens })),
      }),
    };
  });
}

function bytesOf({ size }: Tensor): number {
  return 4 * size;
}

/** Cost of a model. */
export interface ModelSummary {
  /** Length of the features. */
  readonly embedDim: number;
  readonly parameters: ParameterCounts;
  /** FLOPs of a forward pass, see {@link modelFlops}. */
  readonly flops: PerTower;
  /** Bytes in float32 for each sample of a training batch; see {@link activationBytes}. */
  readonly activationBytes: PerTower;
}

/** Cost of a model, without memory for its weights. */
export function summarizeModel(config: ModelConfig, options: DryRunOptions = {}): ModelSummary {
  return {
    embedDim: config.embedDim,
    parameters: parameterCount(config),
    flops: modelFlops(config, options),
    activationBytes: activationBytes(config, options),
  };
}

/** The parts of a model, a line each: name, class, parameters; {@link formatStructure}. */
export function formatModelStructure(
  config: ModelConfig,
  options: { depth?: number } = {},
): string[] {
  using model = onDevice('meta', () => createModel(config, { generator: null }));
  return formatStructure(structureOf(model), options);
}
