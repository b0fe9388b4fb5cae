import type { EmbedProgress } from '../eval/index.js';
import { formatCount, type Progress } from './progress.js';

/** Shows progress of embedding one data set, or several by name. */
export function showEmbedding(
  progress: Progress,
): (state: EmbedProgress & { readonly dataset?: string }) => void {
  let task = '';
  let start = 0;
  return ({ dataset, stage, done, total }) => {
    const now = `embedding ${stage}${dataset === undefined ? '' : ` of ${dataset}`}`;
    if (now !== task) [task, start] = [now, Date.now()];
    progress.update(task, formatCount(done, total, start));
  };
}
