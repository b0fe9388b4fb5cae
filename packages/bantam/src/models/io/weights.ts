import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { at, reshape, type Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { readJson } from '../../base/json-file.js';
import { isObject } from '../../base/schema.js';
import type { Clip } from '../clip.js';
import type { ModelConfig } from '../config.js';
import { fromMobileClip, isMobileClip } from './formats/mobileclip-weights.js';
import { isWeightsName } from './tensor-files.js';

/** Weights of a model directory. */
export interface FoundWeights {
  /** One file, or the several that an index names. */
  readonly files: readonly string[];
  /** The file, or the index, for messages. */
  readonly name: string;
}

/**
 * The weights in a folder: the first of the preferred names that is there, whole or in the parts that
 * an index (`NAME.index.json`) lists; else the only file with weights, a safetensors file rather
 * than a pickle.
 *
 * @throws BantamError if there is none, several are possible, or a part is missing.
 */
export async function findWeights(
  directory: string,
  preferred: readonly string[],
): Promise<FoundWeights> {
  const files = await readdir(directory);
  for (const name of preferred) {
    const index = `${name}.index.json`;
    if (files.includes(name))
      return { files: [join(directory, name)], name: join(directory, name) };
    if (files.includes(index)) return partsOf(directory, index, files);
  }
  const candidates = files.filter(isWeightsName);
  const safe = candidates.filter((file) => file.endsWith('.safetensors'));
  const [only, another] = safe.length > 0 ? safe : candidates;
  if (only !== undefined && another === undefined) {
    return { files: [join(directory, only)], name: join(directory, only) };
  }
  throw new BantamError(
    another === undefined
      ? `${directory} has no ${at(preferred, 0)}; name a complete model directory.`
      : `${directory} has several files of weights (${candidates.slice(0, 3).join(', ')}) and none is called ${at(preferred, 0)}; name the file itself, or call it so.`,
  );
}

/** The files that an index of Hugging Face's libraries names. */
async function partsOf(
  directory: string,
  index: string,
  files: readonly string[],
): Promise<FoundWeights> {
  const document = await readJson(join(directory, index), 'model');
  const map = isObject(document) && isObject(document.weight_map) ? document.weight_map : {};
  const named = [...new Set(Object.values(map).map(String))];
  if (named.length === 0) {
    throw new BantamError(
      `${join(directory, index)} names no files; fetch or save the model again.`,
    );
  }
  const missing = named.find((file) => !files.includes(file));
  if (missing !== undefined) {
    throw new BantamError(
      `${directory} lacks ${missing}, which its ${index} names; fetch the whole model.`,
    );
  }
  return { files: named.map((file) => join(directory, file)), name: join(directory, index) };
}

/** Names of a text tower's weights in models whose text tower has no name of its own. */
const plainText =
  /^(?:positional_embedding$|cls_emb$|text_projection(?:$|\.)|token_embedding\.|transformer\.|ln_final\.)/;

/**
 * Weights under the names that a model of the configuration has, from those of Apple's checkpoints
 * ({@link fromMobileClip}), or with a text tower that is named where the model's is not, or the
 * other way round (OpenCLIP's `custom_text`).
 */
export function underOwnNames(
  weights: ReadonlyMap<string, Tensor>,
  config: ModelConfig,
): ReadonlyMap<string, Tensor> {
  if (isMobileClip(weights)) return fromMobileClip(weights, config);
  const isNamed = [...weights.keys()].some((name) => name.startsWith('text.'));
  if (isNamed === config.customText) return weights;
  const rename = (name: string): string => {
    if (!config.customText) return name.replace(/^text\./, '');
    return plainText.test(name) ? `text.${name}` : name;
  };
  return new Map([...weights].map(([name, value]) => [rename(name), value]));
}

/**
 * Copies weights into a model, whatever their floating-point type.
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
  const scalars = withScalars(weights);
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
