/** HTML pages: the report of a training run, and the scores of a data set. */
export { lineChart, type LineChartOptions, type Reference, type Series } from './chart.js';
export { gatherEvaluation, type GatheredEvaluation, type GatherOptions } from './gather.js';
export { renderReport } from './render-report.js';
export { renderComparison, type ComparisonPageOptions } from './comparison.js';
export { renderMixingCurve } from './mixing-report.js';
export { plot, type PlotAxis, type PlotOptions, type PlotPoint, type PlotSeries } from './plot.js';
export { dotPlot, type Dot, type DotPlotOptions } from './dot-plot.js';
export { renderStudy, type StudyPageOptions } from './study/render-study.js';
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
export { histogram, type HistogramMark, type HistogramOptions } from './histogram.js';
export {
  gatherScores,
  type GatherScoresOptions,
  type ScorePageData,
} from './scores/gather-scores.js';
export { renderScores } from './scores/render-scores.js';
export { renderPlan, type PlanPageOptions } from './render-plan.js';
