export {
  parseModelConfig,
  withChanges,
  type ModelConfig,
  type ModelConfigInput,
  type TextConfig,
  type TowerConfig,
  type VisionConfig,
} from './config.js';
export {
  Clip,
  createModel,
  type CreateModelOptions,
  type EncodeImageOptions,
  type EncodeTextOptions,
} from './clip.js';
export {
  modelFlops,
  parameterCount,
  type ModelFlops,
  type ModelFlopsOptions,
  type ParameterCounts,
} from './flops.js';
export { fromOpenClip, toOpenClip, type OpenClipModelConfig } from './open-clip.js';
export { normalizePixels } from './pixels.js';
export * from './preprocess.js';
export { modelConfig, presets } from './presets.js';
export { TextTransformer, type TextTransformerOptions } from './text-transformer.js';
export {
  LayerScale,
  ResidualBlock,
  Transformer,
  type TransformerForwardOptions,
  type TransformerOptions,
} from './transformer.js';
export {
  VisionTransformer,
  type Encoded,
  type VisionEncodeOptions,
  type VisionTransformerOptions,
} from './vision-transformer.js';
export {
  loadModel,
  saveModel,
  type LoadedModel,
  type LoadModelOptions,
  type SaveModelOptions,
} from './directory.js';
