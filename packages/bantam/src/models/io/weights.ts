import { readdir } from 'node:fs/promises';
import { loadSafetensors, reshape, TorchError, type Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import type { Clip } from '../clip.js';
import { fromMobileClip, isMobileClip } from './formats/mobileclip-weights.js';

/**
 * The weights file of a folder: that of the given name, else the only safetensors file there.
 *
 * @throws BantamError if there is none, or it is a Python pickle.
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

/**
 * Copies weights into a model, whatever their floating-point type. They have Bantam's names or those
 * of {@link fromMobileClip}.
 *
 * @param source - Where the weights come from, for messages.
 * @throws BantamError if they are another model's: it names the first tensors that are missing,
 * left over, or of another shape.
 */
export function loadWeights(
  model: Clip,
  weights: ReadonlyMap<string, Tensor>,
  source: string,
): void {
  const named = isMobileClip(weights) ? fromMobileClip(weights, model.config) : weights;
  const scalars = withScalars(named);
  const differences = differencesOf(model.stateDict(), scalars);
  if (differences.length === 0) {
    model.loadStateDict(scalars);
    return;
  }
  throw new BantamError(
    `${source} holds another model than the configuration beside it describes ` +
      `(${summarizeDifferences(differences)}); put configuration and weights of one model together.`,
  );
}

/**
 * The tensors of a safetensors file.
 *
 * @throws BantamError if it is damaged.
 */
export function readTensors(file: string): ReadonlyMap<string, Tensor> {
  try {
    return loadSafetensors(file).tensors;
  } catch (error) {
    if (!(error instanceof TorchError)) throw error;
    throw new BantamError(error.message);
  }
}

/** The logit scale and bias are written both as scalars and as lists of one. */
function withScalars(tensors: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
  const scalars = new Map(tensors);
  for (const name of ['logit_scale', 'logit_bias']) {
    const value = tensors.get(name);
    if (value?.shape.join() === '1') scalars.set(name, reshape(value, []));
  }
  return scalars;
}

/** The first two of the differences, and how many more there are. */
export function summarizeDifferences(differences: readonly string[]): string {
  const [first = '', second, ...rest] = differences;
  const more = rest.length === 0 ? '' : `, and ${rest.length} more differ`;
  return `${second === undefined ? first : `${first}; ${second}`}${more}`;
}

/** Descriptions of weights that are missing, of another shape, or left over. */
export function differencesOf(
  own: ReadonlyMap<string, Tensor>,
  given: ReadonlyMap<string, Tensor>,
): string[] {
  const list = ({ shape }: Tensor) => `[${shape.join(', ')}]`;
  const wrong = [...own].flatMap(([name, target]) => {
    const tensor = given.get(name);
    if (tensor === undefined) return [`${name} ${list(target)} is missing`];
    if (list(tensor) === list(target)) return [];
    return [`${name} is ${list(tensor)} instead of ${list(target)}`];
  });
  const left = [...given.keys()].filter((name) => !own.has(name));
  return [...wrong, ...left.map((name) => `${name} is unknown`)];
}
