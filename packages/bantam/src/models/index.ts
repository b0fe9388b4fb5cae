export { MixtureOfExperts } from './blocks/mixture-of-experts.js';
export type { MoeConfig } from './blocks/moe-config.js';
export { withGradCheckpointing } from './blocks/run-block.js';
export { SasPBlock, type SasPBlockOptions } from './blocks/sas-p.js';
export {
  parseModelConfig,
  withChanges,
  type ModelConfig,
  type ModelConfigInput,
} from './config.js';
export {
  Clip,
  createModel,
  type CreateModelOptions,
  type FeatureOptions,
  type ImageFeatureOptions,
} from './clip.js';
export type { DecoderConfig } from './decoder/decoder-config.js';
export { MultimodalDecoder } from './decoder/multimodal-decoder.js';
export {
  convertModel,
  exportModel,
  loadModel,
  paddedAs,
  saveModel,
  type ConvertedModel,
  type ExportModelOptions,
  type LoadedModel,
  type LoadModelOptions,
} from './directory.js';
export {
  activationBytes,
  countModelFlops,
  representationWidth,
  type DryRunOptions,
} from './dry-run.js';
export {
  modelFlops,
  parameterCount,
  type ModelFlopsOptions,
  type ParameterCounts,
  type PerTower,
} from './flops.js';
export { fuseModel } from './fuse.js';
export { narrowModel } from './narrow.js';
export { packModel } from './pack.js';
export { quantizeModel } from './quantize.js';
export { copyWeights, type CopyWeightsOptions, type TowerName } from './copy-weights.js';
export type { ModelFiles, ModelFormat, SaveModelOptions } from './formats/format.js';
export { inheritModel, type InheritedModel, type InheritModelOptions } from './inherit-model.js';
export {
  inheritWeights,
  type Inheritance,
  type InheritedLayers,
  type InheritedParameter,
  type InheritMethod,
  type InheritOptions,
} from './inherit.js';
export {
  inheritanceRecord,
  inheritedParts,
  inheritedPatterns,
  type InheritanceRecord,
  type InheritedPart,
} from './inheritance.js';
export {
  generateCaptions,
  generateIds,
  type CaptionEnds,
  type GenerateCaptionsOptions,
  type GenerateOptions,
} from './generate/generate.js';
export { layerDecay, layerDepths, type LayerDepth } from './layer-decay.js';
export { modelFormats } from './formats/index.js';
export { fromMobileClip, toMobileClip } from './formats/mobileclip.js';
export { fromOpenClip, toOpenClip, type OpenClipModelConfig } from './formats/open-clip.js';
export type { MobileClipConfig } from './image-towers/mobileclip-config.js';
export { MobileClipTower } from './image-towers/mobileclip-tower.js';
export { VisionTransformer } from './image-towers/vision-transformer.js';
export type { VitConfig } from './image-towers/vit-config.js';
export { normalizePixels } from './pixels.js';
export * from './preprocess.js';
export { modelConfig, presets } from './presets/index.js';
export { readModelConfig } from './read-config.js';
export { formatModelStructure, summarizeModel, type ModelSummary } from './summary.js';
export type { MobileClipTextConfig } from './text-towers/mobileclip-config.js';
export { MobileClipText } from './text-towers/mobileclip-transformer.js';
export { TextTransformer } from './text-towers/text-transformer.js';
export type { TextTransformerConfig } from './text-towers/transformer-config.js';
export type {
  Encoded,
  ImageEncoded,
  ImageEncodeOptions,
  ImageTower,
  ImageTowerConfig,
  ImageTowerKind,
  PictureRules,
  TextEncodeOptions,
  TextTower,
  TextTowerConfig,
  TowerOptions,
} from './tower.js';
export {
  describeModel,
  imageTowerKind,
  preprocessOf,
  type TextConfig,
  type VisionConfig,
} from './towers.js';
export { upcycle, upcycleModel, type UpcycleModelOptions, type UpcycleOptions } from './upcycle.js';
