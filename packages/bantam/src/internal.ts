// `Disposable` and `Symbol.dispose` in the declarations, whatever `lib` a project has.
/// <reference lib="esnext.disposable" preserve="true" />
/**
 * `bantam/internal`: helpers that Bantam's own benchmark and recipes share with its command line and
 * reports. No promise is made about them to others. Loads no libtorch.
 */
export { cacheDirectory } from './base/cache-dir.js';
export { didYouMean } from './base/did-you-mean.js';
export { BantamError, UsageError } from './base/errors.js';
export { makeFolder } from './base/make-folder.js';
export { explain } from './cli/failure.js';
export { Progress } from './cli/progress.js';
export { positiveInteger } from './cli/values.js';
export { lineChart } from './report/chart.js';
export { markup, type Markup } from './report/markup.js';
export { ticks } from './report/numbers.js';
export { smooth } from './report/series.js';
