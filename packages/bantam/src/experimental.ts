// `Disposable` and `Symbol.dispose` in the declarations, whatever `lib` a project has.
/// <reference lib="esnext.disposable" preserve="true" />
/**
 * `bantam/experimental`: all that the layers export, for those who build on Bantam's parts: towers,
 * losses, strategies, the trainer, the loader, planners. Names may change with any release;
 * `bantam` itself is the stable part.
 */
export { cacheDirectory } from './base/cache-dir.js';
export { BantamError, UsageError } from './base/errors.js';
export { resolvePrecision, type Precision } from './base/precision.js';
export * from './captioning/index.js';
export * from './data/index.js';
export * from './eval/index.js';
export * from './export/index.js';
export * from './losses/index.js';
export * from './machine/index.js';
export * from './models/index.js';
export * from './quickstart/index.js';
export * from './report/index.js';
export * from './search/index.js';
export * from './serve/index.js';
export * from './scoring/index.js';
export * from './study/index.js';
export * from './text/index.js';
export * from './train/index.js';
