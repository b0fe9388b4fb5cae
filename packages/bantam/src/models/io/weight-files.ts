import { readdir } from 'node:fs/promises';
import { BantamError } from '../../base/errors.js';

/**
 * The weights file of a folder: that of the given name, else the only safetensors file there.
 *
 * @throws BantamError where there is none, or it is a Python pickle.
 */
export async function findWeights(directory: string, name: string): Promise<string> {
  const files = await readdir(directory);
  const candidates = files.filter((file) => file.endsWith('.safetensors'));
  const [only, another] = candidates;
  if (candidates.includes(name)) return name;
  if (only !== undefined && another === undefined) return only;
  const pickled = files.find((file) => /\.(bin|pt|pth)$/.test(file));
  throw new BantamError(
    another === undefined && pickled !== undefined
      ? `${directory} has its weights only as a Python pickle (${pickled}); save them as ${name} with the Python package safetensors.`
      : `${directory} has no ${name}; name a complete model directory.`,
  );
}
