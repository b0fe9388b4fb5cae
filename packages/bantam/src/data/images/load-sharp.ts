import { isMainThread } from 'node:worker_threads';
import type Sharp from 'sharp';

let loaded: Promise<typeof Sharp> | undefined;

/**
 * sharp, once it is wanted: it takes longer to load than all else that a data worker needs, and a
 * data set of ordinary JPEG files has no use for it.
 */
export function loadSharp(): Promise<typeof Sharp> {
  loaded ??= load();
  return loaded;
}

async function load(): Promise<typeof Sharp> {
  const { default: sharp } = await import('sharp');
  if (!isMainThread) {
    // One thread per image: the cores belong to the training.
    sharp.concurrency(1);
    sharp.cache(false);
  }
  return sharp;
}
