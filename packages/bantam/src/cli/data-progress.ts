import type { EmojiProgress, OpenProgress } from '../data/index.js';
import { formatCount, type Progress } from './progress.js';

/** Shows how far the emoji data set is made. */
export function showEmojiData(progress: Progress): (state: EmojiProgress) => void {
  let style = '';
  let start = 0;
  return ({ stage, what, done, total }) => {
    if (stage === 'fetch') {
      progress.update('fetching packages', what);
      return;
    }
    if (what !== style) [style, start] = [what, Date.now()];
    progress.update(`rendering ${what}`, formatCount(done, total, start));
  };
}

/** Shows how far shards are that are read for the first time. */
export function showOpening(progress: Progress): OpenProgress {
  const start = Date.now();
  return ({ what, done, total }) => {
    progress.update('reading shards', `${formatCount(done, total, start)}  ${what}`);
  };
}
