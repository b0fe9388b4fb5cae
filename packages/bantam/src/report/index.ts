/** The HTML report of a training run. */
export { lineChart, type LineChartOptions, type Reference, type Series } from './chart.js';
export { gatherEvaluation, type GatheredEvaluation, type GatherOptions } from './gather.js';
export { renderReport } from './render-report.js';
export type {
  ConfusionExample,
  NextStep,
  Picture,
  ReportData,
  RunFacts,
  SearchExample,
  SearchStrip,
} from './report-data.js';
