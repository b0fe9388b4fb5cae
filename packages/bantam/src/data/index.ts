export {
  augmentImage,
  checkAugment,
  resolveAugment,
  type AugmentContext,
  type ImageAugment,
  type ImageOp,
} from './augment.js';
export {
  augmentations,
  emojiAugment,
  parseAugment,
  photoAugment,
  type AugmentationName,
} from './augmentations.js';
export { opTable, type OpName, type OpParameters, type Range } from './augment-ops.js';
export { checkRecipe, drawCaption } from './captions.js';
export { contactSheet, type ContactSheetOptions } from './contact-sheet.js';
export { decodeImage, decodeLocation, type DecodeOptions } from './decode.js';
export {
  emojiEvaluations,
  emojiRecipe,
  emojiTemplates,
  type EmojiEvaluation,
} from './emoji/emoji-source.js';
export {
  getEmoji,
  openEmojiStore,
  type EmojiProgress,
  type EmojiStore,
  type GetEmojiOptions,
} from './emoji/store.js';
export { emojiStyles, type EmojiStyle } from './emoji/styles.js';
export { evalBatches, type EvalBatch, type EvalBatchesOptions } from './eval-batches.js';
export { evalTransform, type Geometry } from './eval-transform.js';
export { folderTemplates } from './folder-source.js';
export {
  inspectSource,
  type InspectOptions,
  type LabelSummary,
  type SourceSummary,
  type Spread,
  type SyntheticSummary,
} from './inspect.js';
export {
  Loader,
  pixelCacheBytes,
  usualDecodeSide,
  type Batch,
  type LoaderOptions,
} from './loader.js';
export { openSource, type OpenSourceOptions } from './open-source.js';
export { epochOrder, samplesPerEpoch, type Position } from './order.js';
export { packSource, type PackOptions, type PackSummary } from './pack.js';
export type { Box, Pixels } from './pixels.js';
export { Quarantine, type QuarantinedSample, type QuarantineOptions } from './quarantine.js';
export { Draws, type DrawKey } from './random.js';
export { type RandAugmentParameters, type RandOp } from './rand-augment.js';
export {
  replayBatches,
  replayCaptions,
  type Replay,
  type ReplayBatch,
  type ReplayBatchesOptions,
  type Replayed,
} from './replay.js';
export { resample, type ResampleOptions } from './resample.js';
export {
  plainCaptions,
  type CaptionForm,
  type CaptionRecipe,
  type DataRecord,
  type Grouping,
  type ImageLocation,
  type LabelSet,
  type LicenceNotice,
  type OpenProgress,
  type Source,
  type SyntheticCaption,
} from './source.js';
