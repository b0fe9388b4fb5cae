/** Data, training, evaluation and a report in one call. */
export {
  quickstart,
  type QuickstartEvent,
  type QuickstartOptions,
  type QuickstartResult,
} from './quickstart.js';
export { naturalQueries } from './natural-queries.js';
export { quickstartPreset, type QuickstartPreset } from './preset.js';
