import { createHash } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { addFile } from '../../base/hash.js';
import { locateModel } from '../hub/locate.js';
import type { HubOptions } from '../hub/settings.js';
import { isWeightsName } from './tensor-files.js';

/**
 * First 16 hexadecimal digits of the SHA-256 of a model's weight files, in the order of their
 * names: work that depends on a model keeps it, so that other weights are not taken for them.
 */
export async function weightsDigest(name: string, hub: HubOptions = {}): Promise<string> {
  const { directory, weights } = await locateModel(name, hub);
  const digest = createHash('sha256');
  const inside = directory === null ? [] : (await readdir(directory)).sort();
  const files = inside.filter(isWeightsName).map((file) => join(directory ?? '', file));
  for (const file of weights === null ? files : [weights]) {
    await addFile(digest, file);
  }
  return digest.digest('hex').slice(0, 16);
}
