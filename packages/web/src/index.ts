/**
 * `@bantam/web`: CLIP models from Bantam in the browser. Images are prepared in Bantam's own
 * arithmetic, bit for bit; ONNX Runtime computes, in WebAssembly or on WebGPU.
 *
 * @packageDocumentation
 */
export { WebClip, type LoadClipOptions } from './clip.js';
export { decodeImage } from './decode.js';
export { loadIndex } from './index-file.js';
export { prepareImage } from './prepare.js';
export { labelVectors, scoreLabels, type EncodeTexts, type LabelScore } from './zero-shot.js';
export { direction } from './vectors.js';
export type { DownloadProgress, OnDownload } from './fetch-files.js';
export type {
  Backend,
  ImagePreprocess,
  Logits,
  ModelDtype,
  RgbImage,
  RuntimeInfo,
  RuntimeOptions,
  SearchHit,
  SearchIndex,
} from './types.js';
