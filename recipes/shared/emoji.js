/** The emoji data as recipes train and evaluate on them. */
import { join } from 'node:path';
import { runBantam } from './runs.js';

/**
 * Downloads the data unless they are in the cache; returns the specification of the training
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

const inDistribution = 'emoji?style=twemoji&skin=default';
const outOfDistribution = 'emoji?style=fluent-3d&skin=default';

/**
 * Zero-shot subgroup and text-to-image retrieval by name, in and out of distribution.
 *
 * @type {readonly import('./equal-time.js').Column[]}
 */
export const emojiColumns = [
  ['subgroup, in-distribution style', inDistribution, 'zero-shot', 'acc1'],
  ['subgroup, out-of-distribution style', outOfDistribution, 'zero-shot', 'acc1'],
  [
    'image for a name, R@10, in-distribution style',
    inDistribution,
    'retrieval',
    'image_retrieval_recall@10',
  ],
  ['R@10, out-of-distribution style', outOfDistribution, 'retrieval', 'image_retrieval_recall@10'],
];
