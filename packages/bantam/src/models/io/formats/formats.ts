import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { BantamError } from '../../../base/errors.js';
import { didYouMean } from '../../../base/did-you-mean.js';
import { isWeightsName } from '../tensor-files.js';
import type { ModelFormat } from './format.js';
import { huggingFaceFormat } from './hugging-face.js';
import { openAiFormat } from './openai.js';
import { openClipFormat } from './open-clip.js';

/** Every format of model directories; the first that recognises a directory reads it. */
export const modelFormats: readonly ModelFormat[] = [
  openClipFormat,
  huggingFaceFormat,
  openAiFormat,
];

/** @throws BantamError naming the nearest format. */
export function modelFormat(name: string): ModelFormat {
  const format = modelFormats.find((known) => known.name === name);
  if (format !== undefined) return format;
  const names = modelFormats.map((known) => known.name);
  throw new BantamError(
    `There is no model format "${name}"${didYouMean(name, names)}; it must be one of: ${names.join(', ')}.`,
  );
}

/** Names in a run directory, of which a run that has just begun lacks the first. */
const runFiles: readonly string[] = ['checkpoints', 'metrics.jsonl'];

/**
 * The format of a directory.
 *
 * @throws BantamError if it is of none.
 */
export async function formatOf(directory: string): Promise<ModelFormat> {
  const files = await readdir(directory);
  for (const format of modelFormats) {
    if (await format.recognises(directory, files)) return format;
  }
  const weights = files.find(isWeightsName);
  if (files.includes('config.json') && runFiles.some((name) => files.includes(name))) {
    throw new BantamError(
      `The run in ${directory} has no model yet; finish it with "bantam train --resume ${directory}".`,
    );
  }
  throw new BantamError(
    weights === undefined
      ? `${directory} has no open_clip_config.json, and is no other directory of a CLIP model that Bantam can read; name a model directory.`
      : `${directory} has no configuration beside ${weights}; name its architecture: "${join(directory, weights)}?model=PRESET".`,
  );
}
