import { join } from 'node:path';

/** Files and folders of a study. */
export const studyPaths = (out: string) => ({
  study: join(out, 'study.json'),
  results: join(out, 'results.json'),
  report: join(out, 'report.html'),
  runs: join(out, 'runs'),
  subsets: join(out, 'subsets'),
});
