export { MixtureOfExperts } from './blocks/mixture-of-experts.js';
export type { MoeConfig } from './blocks/mixture-of-experts.js';
export { withGradCheckpointing } from './blocks/run-block.js';
export { SasPBlock, type SasPBlockOptions } from './blocks/sas-p.js';
export {
  modelSchema,
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
export type { DecoderConfig } from './towers/decoder/multimodal-decoder.js';
export { MultimodalDecoder } from './towers/decoder/multimodal-decoder.js';
export {
  convertModel,
  exportModel,
  loadModel,
  loadModelTokenizer,
  paddedAs,
  saveModel,
  type ConvertedModel,
  type ExportModelOptions,
  type LoadedModel,
  type LoadModelOptions,
} from './io/directory.js';
export { activationBytes, representationWidth, type DryRunOptions } from './cost/dry-run.js';
export {
  modelFlops,
  parameterCount,
  type ModelFlopsOptions,
  type ParameterCounts,
  type PerTower,
} from './cost/flops.js';
export { fuseModel, narrowModel, prepackModel, quantizeModel } from './inference/inference.js';
export { recordPrograms, runRecorded } from './inference/programs.js';
export {
  averageModels,
  averageRecord,
  interpolateInto,
  interpolateModels,
  requireSeveral,
  saveAverage,
  WeightSum,
  type AverageOptions,
  type AverageRecord,
  type AverageResult,
  type InterpolateOptions,
  type WeightedState,
} from './surgery/average.js';
export { requireAlike, type NamedModel } from './surgery/alike.js';
export { copyWeights, type CopyWeightsOptions, type TowerName } from './surgery/copy-weights.js';
export { toHubConfig, type HubConfig } from './io/formats/hugging-face-config.js';
export { toHubPreprocess } from './io/formats/hugging-face-preprocess.js';
export { writeFolder, writeJson } from './io/files.js';
export { fitTokenizer } from './io/fit-tokenizer.js';
export { tokenizerFiles } from './io/tokenizer-files.js';
export type { ModelFiles, ModelFormat, SaveModelOptions } from './io/formats/format.js';
export {
  inheritModel,
  type InheritedModel,
  type InheritModelOptions,
} from './surgery/inherit-model.js';
export {
  inheritWeights,
  type Inheritance,
  type InheritedLayers,
  type InheritedParameter,
  type InheritMethod,
  type InheritOptions,
} from './surgery/inherit.js';
export {
  inheritanceRecord,
  inheritedParts,
  inheritedPatterns,
  type InheritanceRecord,
  type InheritedPart,
} from './surgery/inherit-model.js';
export {
  generateCaptions,
  type CaptionEnds,
  type GenerateCaptionsOptions,
  type GenerateOptions,
} from './generate/generate.js';
export { headNames, layerDecay } from './surgery/layer-decay.js';
export {
  adaptableLayers,
  addLora,
  loraChanges,
  mergedWeights,
  type LoraSettings,
  type LoraStreams,
  type NamedChange,
} from './surgery/lora.js';
export { saveAdapter, type SaveAdapterOptions } from './io/adapter/adapted-model.js';
export {
  trainedCosts,
  wholeTower,
  type TrainedCost,
  type TrainedCosts,
} from './cost/trained-costs.js';
export { modelFormats } from './io/formats/formats.js';
export { fromMobileClip } from './io/formats/mobileclip-weights.js';
export {
  fromOpenClip,
  toOpenClip,
  type OpenClipModelConfig,
} from './io/formats/open-clip-config.js';
export type { MobileClipConfig } from './towers/image/mobileclip-config.js';
export { MobileClipTower } from './towers/image/mobileclip.js';
export { VisionTransformer } from './towers/image/vit.js';
export type { VitConfig } from './towers/image/vit.js';
export * from './preprocess.js';
export { modelConfig, presets } from './presets/presets.js';
export { locateWithBases, readModelConfig } from './io/open-model.js';
export { weightsDigest } from './io/weights-digest.js';
export { isModelPath, locateModel, type LocateOptions, type ModelLocation } from './hub/locate.js';
export type { HubOptions, PullEvent } from './hub/settings.js';
export { pretrainedModels, type PretrainedEntry } from './hub/pretrained.js';
export { isWeightsName, openWeights, type WeightsFile } from './io/tensor-files.js';
export { formatModelStructure, summarizeModel, type ModelSummary } from './cost/dry-run.js';
export type { MobileClipTextConfig } from './towers/text/mobileclip-text.js';
export { MobileClipText } from './towers/text/mobileclip-text.js';
export { TextTransformer } from './towers/text/text-transformer.js';
export type { TextTransformerConfig } from './towers/text/text-transformer.js';
export type {
  Encoded,
  ImageEncoded,
  ImageEncodeOptions,
  ImageTower,
  ImageTowerConfig,
  ImageTowerKind,
  ImageRules,
  TextEncodeOptions,
  TextTower,
  TowerOptions,
} from './tower.js';
export {
  describeModel,
  imageTowerKind,
  preprocessOf,
  type TextConfig,
  type VisionConfig,
} from './towers.js';
export {
  upcycle,
  upcycleModel,
  type UpcycleModelOptions,
  type UpcycleOptions,
} from './surgery/upcycle.js';
