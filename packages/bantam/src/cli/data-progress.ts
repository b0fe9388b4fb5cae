import type { EmojiProgress, OpenProgress } from '../data/index.js';
import { formatCount, type Progress } from './progress.js';

/** Shows progress of making the emoji data set. */
export function showEmojiData(progress: Progress): (state: EmojiProgress) => void {
  let style = '';
  let start = 0;
  return ({ stage, what, done, total }) => {
    if (stage === 'fetch') {
      progress.update('downloading packages', what);
      return;
    }
    if (what !== style) [style, start] = [what, Date.now()];
    progress.update(`rendering ${what}`, formatCount(done, total, start));
  };
}

/** Shows progress of indexing shards, which happens when they are first read. */
export function showOpening(progress: Progress): OpenProgress {
  const start = Date.now();
  return ({ what, done, total }) => {
    progress.update('reading shards', `${formatCount(done, total, start)}  ${what}`);
  };
}
