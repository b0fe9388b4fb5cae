import { readdir } from 'node:fs/promises';
import { basename, dirname, resolve } from 'node:path';
import type { Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { readJson } from '../../base/json-file.js';
import { isFolder } from '../../base/path-kind.js';
import { parseModelConfig, withChanges, type ModelConfig } from '../config.js';
import type { HubOptions } from '../hub/settings.js';
import { locateModel, type LocateOptions, type ModelLocation } from '../hub/locate.js';
import { recognisePublished, type PretrainedEntry } from '../hub/pretrained.js';
import { modelConfig, presets } from '../presets/presets.js';
import { preprocessOf } from '../towers.js';
import { baseOfAdapter, isAdapter, openAdapted } from './adapter/adapted-model.js';
import { unchanged, type ModelFiles, type OpenedModel } from './formats/format.js';
import { formatOf } from './formats/formats.js';
import { fromHubWeights, isHubNamed } from './formats/hugging-face-weights.js';
import { isOpenAi, openAiFiles, withoutNotes } from './formats/openai.js';
import { openWeights, type WeightsFile } from './tensor-files.js';
import { findWeights } from './weights.js';

/**
 * Opens the model of a name, see {@link locateModel}.
 *
 * @throws BantamError if there is none, it cannot be fetched or read, or nothing says which architecture it has.
 */
export function openModel(name: string, hub: HubOptions = {}): Promise<OpenedModel> {
  return openThrough(name, hub, []);
}

/**
 * Locates a model, and the base models of an adapter, which are fetched as well.
 *
 * @returns The model itself first
 * @throws BantamError as {@link locateModel}, and for an adapter whose base model cannot be told.
 */
export async function locateWithBases(
  name: string,
  options: LocateOptions = {},
): Promise<ModelLocation[]> {
  const found: ModelLocation[] = [];
  const through: string[] = [];
  for (let next: string | null = name; next !== null;) {
    const location: ModelLocation = await locateModel(next, options);
    found.push(location);
    const { directory, weights } = location;
    const isBased = weights === null && directory !== null && (await isAdapter(directory));
    next = isBased ? await baseOfAdapter(directory, through) : null;
    if (directory !== null) through.push(resolve(directory));
  }
  return found;
}

async function openThrough(
  name: string,
  hub: HubOptions,
  through: readonly string[],
): Promise<OpenedModel> {
  const location = await locateModel(name, hub);
  const { directory, weights } = location;
  if (weights === null && directory !== null) {
    if (await isAdapter(directory)) {
      await baseOfAdapter(directory, through);
      const further = [...through, resolve(directory)];
      return openAdapted(directory, (base) => openThrough(base, hub, further), hub);
    }
    return { ...(await (await formatOf(directory)).load(directory)), directory };
  }
  if (weights === null) throw new RangeError(`${name} is neither a directory nor a file.`);
  return openFile(location, weights);
}

/** A file of weights, whose architecture something else than a model directory tells. */
async function openFile(location: ModelLocation, path: string): Promise<OpenedModel> {
  const { directory, architecture, entry, pulled } = location;
  if (entry !== null) return openListed(location, path, entry);
  const weights = openWeights(await partsOf(path), path);
  if (architecture !== null) {
    const config = await readModelConfig(architecture);
    return { ...described(weights, path, config), directory };
  }
  if (isOpenAi(weights)) return { ...openAiFiles(weights, path), directory };
  const published = await recognisePublished(path);
  if (published !== null) return openListed(location, path, published);
  const beside = dirname(path);
  const files = await readdir(beside);
  if (files.includes('open_clip_config.json') || files.includes('config.json')) {
    return { ...(await (await formatOf(beside)).load(beside, path)), directory: beside };
  }
  throw new BantamError(
    `${pulled === null ? path : location.name} holds weights, but nothing says of which architecture; name it: "${location.name}?model=PRESET", where "bantam models" lists the presets.`,
  );
}

/** Weights that OpenCLIP lists: their preset if there is one, with the activation and preprocessing of the list. */
async function openListed(
  { directory, name }: ModelLocation,
  path: string,
  { model, preprocess, quickGelu }: PretrainedEntry,
): Promise<OpenedModel> {
  const preset = presets.get(model);
  if (preset === undefined && directory === null) {
    throw new BantamError(
      `Bantam has no preset ${model}, of which ${name} is; use OpenCLIP for it.`,
    );
  }
  const files =
    preset === undefined && directory !== null
      ? await (await formatOf(directory)).load(directory, path)
      : described(
          openWeights(await partsOf(path), path),
          path,
          withChanges(modelConfig(model), { quickGelu }),
        );
  const changed = { ...files.preprocess, ...preprocess };
  return { ...files, preprocess: changed, directory };
}

/** The files of a path: itself, or those that it names as an index. */
async function partsOf(path: string): Promise<string[]> {
  if (!path.endsWith('.index.json')) return [path];
  const name = basename(path, '.index.json');
  return [...(await findWeights(dirname(path), [name])).files];
}

/** Weights of a known configuration, under any of the names that are read. */
function described(weights: WeightsFile, weightsName: string, config: ModelConfig): ModelFiles {
  return {
    config,
    preprocess: preprocessOf(config),
    weightsName,
    readWeights: (edit = unchanged) => ownNames(edit(weights.read()), config),
    info: {},
  };
}

function ownNames(
  weights: ReadonlyMap<string, Tensor>,
  config: ModelConfig,
): ReadonlyMap<string, Tensor> {
  return isHubNamed(weights) ? fromHubWeights(weights, config) : withoutNotes(weights);
}

/**
 * The configuration of a preset, of a model by any name that {@link locateModel} knows (its weights are not
 * read), or of a `.json` file as `bantam models show --json` prints it under `config`.
 *
 * @throws BantamError naming the nearest preset, or what is wrong with the model or the file.
 */
export async function readModelConfig(name: string): Promise<ModelConfig> {
  if (name.endsWith('.json') && !name.endsWith('.index.json')) {
    const found = await readJson(name, 'model');
    if (found !== undefined) return parseModelConfig(found);
    throw new BantamError(
      `There is no file ${name}; name a preset, a model directory, or a model's configuration.`,
    );
  }
  if (presets.has(name) || !(await isModelName(name))) return modelConfig(name);
  return (await openModel(name)).config;
}

/** True unless a name can only be a preset's, perhaps misspelt. */
async function isModelName(name: string): Promise<boolean> {
  return /[/:.]/.test(name) || (await isFolder(name));
}
