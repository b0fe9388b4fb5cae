/** The emoji data as recipes train and evaluate on them. */
import { join } from 'node:path';
import { runBantam } from './runs.js';

/**
 * Fetches the data where they are not in the cache yet; returns the specification of the training
 * split.
 *
 * @param {string} out an existing folder for the log
 */
export async function emojiData(out) {
  const log = join(out, 'emoji.log');
  const { status } = await runBantam(['data', 'get', 'emoji'], { log });
  if (status !== 0) throw new Error(`The emoji data could not be fetched, see ${log}`);
  return 'emoji?split=train';
}

const seen = 'emoji?style=twemoji&skin=default';
const unseen = 'emoji?style=fluent-3d&skin=default';

/**
 * Subgroup and picture for a name, in a style that training saw and in one that it never saw.
 *
 * @type {readonly import('./equal-time.js').Column[]}
 */
export const emojiColumns = [
  ['subgroup, seen style', seen, 'zero-shot', 'acc1'],
  ['subgroup, unseen style', unseen, 'zero-shot', 'acc1'],
  ['picture for a name, R@10, seen style', seen, 'retrieval', 'image_retrieval_recall@10'],
  ['R@10, unseen style', unseen, 'retrieval', 'image_retrieval_recall@10'],
];
