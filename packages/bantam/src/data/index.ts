export { augmentImage, type AugmentContext } from './augment/augment.js';
export {
  augmentations,
  emojiAugment,
  parseAugment,
  photoAugment,
  type AugmentationName,
} from './augment/presets.js';
export {
  augmentSchema,
  opSchemas,
  resolveAugment,
  type ImageAugment,
  type ImageOp,
  type OpName,
  type ResolvedAugment,
  type ResolvedOp,
} from './augment/schema.js';
export {
  checkCaptionTemplates,
  folderTemplates,
  hasCaptions,
  requireCaptions,
  sampleCaption,
} from './sources/captions.js';
export { readClassNames, readPrompts, type Prompts } from './sources/class-files.js';
export { contactSheet, type ContactSheetOptions } from './contact-sheet.js';
export { DistinctCounter } from './distinct.js';
export { decodeImage, decodeLocation, type DecodeOptions } from './images/decode.js';
export {
  emojiEvaluations,
  emojiCaptions,
  emojiTemplates,
  type EmojiEvaluation,
} from './sources/emoji/emoji-source.js';
export {
  getEmoji,
  openEmojiStore,
  type EmojiProgress,
  type EmojiStore,
  type GetEmojiOptions,
} from './sources/emoji/store.js';
export { emojiStyles, type EmojiStyle } from './sources/emoji/styles.js';
export { evalBatches, type EvalBatch, type EvalBatchesOptions } from './loader/eval-batches.js';
export { evalTransform } from './images/eval-transform.js';
export { readLocation } from './images/location.js';
export type { Geometry } from './images/eval-geometry.js';
export {
  inspectSource,
  type InspectOptions,
  type LabelSummary,
  type SourceSummary,
  type Spread,
  type SyntheticSummary,
} from './inspect.js';
export { Loader, type Batch, type LoaderOptions } from './loader/loader.js';
export { defaultDecodeSide, pixelCacheBytes, pixelCacheLimit } from './loader/pixel-cache.js';
export {
  formatSpec,
  resolveSpec,
  type MixPart,
  type SourceDescription,
  withSubset,
} from './sources/describe.js';
export { openSource, type OpenSourceOptions } from './sources/open-source.js';
export {
  epochOrder,
  rowsOfPart,
  samplesPerEpoch,
  type BatchPart,
  type Position,
} from './loader/order.js';
export { writeShards, type WriteShardsOptions, type ShardsSummary } from './write-shards.js';
export type { ImageLocation } from './images/location.js';
export { describeNote, NoteBook, type SourceNote } from './sources/notes.js';
export type { Box, Pixels } from './images/pixels.js';
export { Quarantine, type QuarantinedSample, type QuarantineOptions } from './loader/quarantine.js';
export { CounterRng, hashText, type RngKey } from './counter-rng.js';
export {
  replayBatches,
  replayCaptions,
  type Replay,
  type ReplayBatch,
  type ReplayBatchesOptions,
  type Replayed,
} from './loader/replay.js';
export { resample, type ResampleOptions } from './images/resample.js';
export {
  plainCaptions,
  templatesOf,
  type CaptionTemplate,
  type CaptionTemplates,
  type DataRecord,
  type Grouping,
  type LabelSet,
  type LicenceNotice,
  type OpenProgress,
  type Source,
  type SyntheticCaption,
} from './sources/source.js';
export * from './select/index.js';
export { subsetOf, type SubsetOptions } from './sources/subset-source.js';
