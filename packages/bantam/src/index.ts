// `Disposable` and `Symbol.dispose` in the declarations, whatever `lib` a project has.
/// <reference lib="esnext.disposable" preserve="true" />
/**
 * Bantam: CLIP from data to deployment.
 *
 * These names are stable. The parts they are made of, such as towers, losses and the trainer, are in
 * `bantam/experimental`.
 *
 * @packageDocumentation
 */

// Errors
export { BantamError, UsageError } from './base/errors.js';

// Data
export {
  contactSheet,
  getEmoji,
  inspectSource,
  openSource,
  writeShards,
  type DataRecord,
  type Source,
  type SourceSummary,
} from './data/index.js';
export {
  captionSource,
  EndpointCaptioner,
  loadCocaCaptioner,
  type Captioner,
  type CaptionSummary,
} from './captioning/index.js';

// Tokenizers
export { loadTokenizer, trainTokenizer, type Tokenizer } from './text/index.js';

// Models
export {
  Clip,
  convertModel,
  createModel,
  describeModel,
  generateCaptions,
  inheritModel,
  loadModel,
  modelConfig,
  parseModelConfig,
  presets,
  readModelConfig,
  saveModel,
  summarizeModel,
  upcycleModel,
  type LoadedModel,
  type ModelConfig,
  type ModelSummary,
  type Preprocess,
} from './models/index.js';

// Losses
export { clipLoss, sigLipLoss } from './losses/index.js';

// Training
export {
  planResumed,
  planRun,
  readMetrics,
  readRunConfig,
  reinforceSource,
  resumeTraining,
  train,
  type MetricsRow,
  type TrainConfig,
  type TrainEvent,
  type TrainingPlan,
  type TrainOptions,
  type TrainResult,
} from './train/index.js';

// Evaluation, embedding, search
export {
  disposeEmbeddings,
  embedSource,
  encodePixels,
  encodeTexts,
  evaluate,
  formatTable,
  loadForInference,
  retrieval,
  zeroShot,
  type Embeddings,
  type EvaluateOptions,
  type EvaluationResult,
  type InferenceModel,
} from './eval/index.js';

export { buildIndex, embedToFile, openIndex, search } from './search/index.js';

// Export
export { exportOnnx } from './export/index.js';

// Reports, and this machine
export { inspectMachine, measureModelRate, type Machine, type ModelRate } from './machine/index.js';
export { renderReport, type ReportData } from './report/index.js';
export { quickstart, type QuickstartOptions, type QuickstartResult } from './quickstart/index.js';

// Serving
export { serve, type ServeOptions } from './serve/index.js';
