import { existsSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BantamError } from '../../base/errors.js';
import { isFile } from '../../base/path-kind.js';
import { isWeightsName } from '../io/tensor-files.js';
import { parseHubName } from './names.js';
import { findPretrained, pretrainedModels, type PretrainedEntry } from './pretrained.js';
import { cachedModel, pullFromHub, type PulledModel } from './pull.js';
import type { HubOptions } from './settings.js';

/** Location of a model, and what else its name says of it. */
export interface ModelLocation {
  /** As it was named. */
  readonly name: string;
  /** A model directory; null: the weights alone. */
  readonly directory: string | null;
  /** File of the weights; null: the directory's. */
  readonly weights: string | null;
  /** Preset, directory or configuration that describes the weights; null: they, or the directory, do. */
  readonly architecture: string | null;
  /** The entry of a name `MODEL/TAG`. */
  readonly entry: PretrainedEntry | null;
  /** The model in the Hub's cache; null: it is of no Hub. */
  readonly pulled: PulledModel | null;
}

/** True if the name of a model is a path, and so depends on the working directory. */
export function isModelPath(name: string): boolean {
  if (existsSync(name)) return true;
  const [model] = name.split('/');
  return !name.startsWith('hf:') && !pretrainedModels().some((entry) => entry.model === model);
}

/** Options of {@link locateModel}. */
export interface LocateOptions extends HubOptions {
  /** Ask the Hub even if the model is in the cache: the revision may have moved. Default false. */
  readonly refresh?: boolean;
}

/**
 * Resolves the name of a model, wherever one is named:
 *
 * - a model directory, a run that has one in its folder `model`, or a file of weights;
 * - `hf:owner/name[@revision]`, a model of the Hub;
 * - `MODEL/TAG`, weights that OpenCLIP lists, such as `ViT-B-32/laion2b_s34b_b79k`.
 *
 * `?model=NAME` behind a file or a model of the Hub names its architecture: a preset, a directory, or a `.json` file.
 * Models of the Hub are fetched into the cache once.
 *
 * @throws BantamError if there is no such model, or it cannot be fetched.
 */
export async function locateModel(
  name: string,
  options: LocateOptions = {},
): Promise<ModelLocation> {
  const [, path = name, architecture = null] = /^(.+)\?model=(.+)$/s.exec(name) ?? [];
  const local = await stat(path).catch(() => null);
  if (local === null) checkQuery(path);
  const given = { name, directory: null, weights: null, architecture, entry: null, pulled: null };
  if (local?.isDirectory() === true) {
    if (architecture === null) return { ...given, directory: await modelFolder(path) };
    throw new BantamError(
      `${path} is a directory; name the file of weights in it before "?model=${architecture}".`,
    );
  }
  if (local?.isFile() === true) return { ...given, weights: path };
  const hub = parseHubName(path);
  if (hub !== null) return locationOf(given, await fetched(hub, options), architecture === null);
  const entry = findPretrained(path);
  if (entry === null) {
    throw new BantamError(
      `There is no folder or file ${path}; name a model directory, a file of weights, hf:owner/name, or one of "bantam models list --pretrained".`,
    );
  }
  const { repository, file } = entry;
  const pulled = await fetched(
    { repository, revision: 'main' },
    { ...options, ...(file !== null && { file }) },
  );
  return { ...locationOf(given, pulled, false), entry };
}

/** @throws BantamError for a name with a query that no model has. */
function checkQuery(path: string): void {
  const [, model = '', query] = /^([^?]+)\?(.*)$/s.exec(path) ?? [];
  if (query === undefined) return;
  throw new BantamError(
    `The query "?${query}" of ${model} is not known; behind a model's name only "?model=" and its architecture may follow, as in "${model}?model=ViT-B-32".`,
  );
}

/** The folder with a model's files: `model` in a run, which has no weights itself. */
async function modelFolder(path: string): Promise<string> {
  const inside = join(path, 'model');
  const isRun = await isFile(join(inside, 'open_clip_config.json'));
  return isRun && !(await readdir(path)).some(isWeightsName) ? inside : path;
}

function locationOf(given: ModelLocation, pulled: PulledModel, whole: boolean): ModelLocation {
  const { directory, weights, described } = pulled;
  // Weights without a configuration describe themselves, or their architecture was named.
  const alone = described && whole ? null : weights;
  return { ...given, directory, weights: alone, pulled };
}

async function fetched(
  name: { repository: string; revision: string },
  { refresh = false, ...options }: LocateOptions & { file?: string },
): Promise<PulledModel> {
  const cached = refresh ? null : await cachedModel(name, options);
  return cached ?? pullFromHub(name, options);
}
