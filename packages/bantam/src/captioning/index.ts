export {
  captionSource,
  type CaptionProgress,
  type CaptionSourceOptions,
  type CaptionSummary,
} from './caption-source.js';
export type { Captioner, CaptionOutcome, CaptionImage, CaptionRequest } from './captioner.js';
export type { CocaCaptioner, CocaCaptionerOptions } from './coca-captioner.js';
export {
  captionPrompt,
  EndpointCaptioner,
  type EndpointCaptionerOptions,
} from './endpoint-captioner.js';
export { loadCocaCaptioner } from './load-coca-captioner.js';
