/** The HTML report of a training run. */
export { lineChart, type LineChartOptions, type Reference, type Series } from './chart.js';
export { gatherEvaluation, type GatheredEvaluation, type GatherOptions } from './gather.js';
export { renderReport } from './render-report.js';
export { renderComparison, type ComparisonPageOptions } from './comparison.js';
export { renderSuiteReport } from './suite-report.js';
export type {
  ConfusionExample,
  NextStep,
  ReportData,
  RunFacts,
  SearchExample,
  SearchStrip,
  Thumbnail,
} from './report-data.js';
