/** Models as graphs of ONNX. */
export {
  checkExport,
  exportBounds,
  type CheckExportOptions,
  type ExportCheck,
  type PrecisionCheck,
} from './check/check.js';
export { agreementOf, type Agreement } from './check/agreement.js';
export {
  loadOnnxRuntime,
  type OnnxRuntime,
  type RuntimeSession,
  type RuntimeTensor,
} from './check/runtime.js';
export { taskScores, type Encoder, type TaskScores } from './check/evaluate-onnx.js';
export { OnnxEncoder, unitRows } from './check/onnx-encoder.js';
export {
  type ExportedFiles,
  type ExportManifest,
  type GraphNames,
  type ManifestTokenizer,
} from './directory/manifest.js';
export { writeGraphs, type FilesByPrecision } from './directory/write-directory.js';
export {
  exportOnnx,
  type ExportOnnxOptions,
  type ExportProgress,
  type OnnxExport,
} from './export-onnx.js';
export {
  exportPrecisions,
  graphParts,
  modelGraph,
  type ExportPrecision,
  type GraphPart,
} from './model-graph.js';
export { writeOnnx, type WriteOnnxOptions, type WrittenOnnx } from './onnx/write-onnx.js';
export { recordTowers, type TowerPrograms } from './towers/tower-graph.js';
export {
  exportWeb,
  type ExportWebOptions,
  type WebExport,
  type WebProgress,
} from './web/export-web.js';
