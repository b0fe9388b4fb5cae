import { basename, dirname, resolve } from 'node:path';
import { BantamError } from '../../base/errors.js';
import { RequestError } from '../http/request-error.js';
import { ServedModel, type ServedModelOptions } from './served-model.js';

export interface ModelsOptions {
  /** Model directories by the names under which they are served. */
  readonly directories: Readonly<Record<string, string>>;
  /** Paths of indexes by the names under which they are searched. */
  readonly indexes: Readonly<Record<string, string>>;
  /** Options of each model. */
  readonly options: (name: string) => Omit<ServedModelOptions, 'name' | 'directory' | 'indexes'>;
}

/** The models that are served, by name. */
export class Models implements Iterable<ServedModel> {
  readonly #options: ModelsOptions;
  #models: ReadonlyMap<string, ServedModel>;
  #reloading: Promise<void> | undefined;

  private constructor(options: ModelsOptions, models: ReadonlyMap<string, ServedModel>) {
    this.#options = options;
    this.#models = models;
  }

  /** @throws BantamError with the reason why a model cannot be loaded. */
  static async start(options: ModelsOptions): Promise<Models> {
    if (Object.keys(options.directories).length === 0) {
      throw new BantamError('Name at least one model directory to serve.');
    }
    return new Models(options, await startAll(options));
  }

  [Symbol.iterator](): Iterator<ServedModel> {
    return this.#models.values();
  }

  /**
   * The model of that name; without a name, the only one.
   *
   * @throws RequestError where there is none, or several to choose from.
   */
  get(name: string | undefined): ServedModel {
    const names = [...this.#models.keys()];
    const [only, ...others] = this.#models.values();
    if (name === undefined && only !== undefined && others.length === 0) return only;
    if (name === undefined) {
      throw new RequestError(400, `"model" is missing; choose from ${names.join(', ')}.`, {
        param: 'model',
      });
    }
    const found = this.#models.get(name);
    if (found !== undefined) return found;
    throw new RequestError(
      404,
      `There is no model "${name.slice(0, 100)}"; there is ${names.join(', ')}.`,
      { code: 'model_not_found', param: 'model' },
    );
  }

  /**
   * The model of an index; without a name, of the only one.
   *
   * @throws RequestError where there is none, or several to choose from.
   */
  ofIndex(name: string | undefined): { readonly index: string; readonly model: ServedModel } {
    const names = Object.keys(this.#options.indexes);
    const [only, ...others] = names;
    if (only === undefined) {
      throw new RequestError(404, 'This server has no index; start it with --index.', {
        code: 'index_not_found',
      });
    }
    if (name === undefined && others.length > 0) {
      throw new RequestError(400, `"index" is missing; choose from ${names.join(', ')}.`, {
        param: 'index',
      });
    }
    const index = name ?? only;
    for (const model of this) {
      if (Object.hasOwn(model.description.indexes, index)) return { index, model };
    }
    throw new RequestError(
      404,
      `There is no index "${index.slice(0, 100)}"; there is ${names.join(', ')}.`,
      { code: 'index_not_found', param: 'index' },
    );
  }

  /**
   * Loads all directories anew. Requests that have begun end with the models with which they began,
   * later ones get the new ones; if one cannot be loaded, the old ones stay.
   *
   * @throws BantamError with the reason why a model cannot be loaded.
   */
  async reload(): Promise<void> {
    // Who asks again while models are loaded may mean files that came after: after this, once more.
    while (this.#reloading !== undefined) await this.#reloading.catch(() => undefined);
    this.#reloading = this.#replaceAll();
    try {
      await this.#reloading;
    } finally {
      this.#reloading = undefined;
    }
  }

  async stop(): Promise<void> {
    await this.#reloading?.catch(() => undefined);
    await Promise.all([...this].map((model) => model.stop()));
  }

  async #replaceAll(): Promise<void> {
    const before = this.#models;
    this.#models = await startAll(this.#options);
    for (const model of before.values()) void model.retire();
  }
}

async function startAll({ directories, indexes, options }: ModelsOptions) {
  const started = await Promise.allSettled(
    Object.entries(directories).map(async ([name, directory]) => {
      return ServedModel.start({ name, directory, indexes, ...options(name) });
    }),
  );
  const models = started.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
  const failed = started.find((one) => one.status === 'rejected');
  const [orphan] = Object.entries(indexes).filter(([name]) => {
    return !models.some(({ description }) => Object.hasOwn(description.indexes, name));
  });
  if (failed === undefined && orphan === undefined) {
    return new Map(models.map((model) => [model.name, model]));
  }
  await Promise.all(models.map((model) => model.stop()));
  if (failed !== undefined) throw failed.reason;
  throw new BantamError(
    `None of the models made the index ${String(orphan?.[1])}; serve the model that did as well, or build the index anew.`,
  );
}

/**
 * Names for model directories and indexes: each may be written `NAME=DIRECTORY`; else the name is the folder's, or
 * that of the run to which the folder `model` or `best` belongs.
 *
 * @throws BantamError where two have one name.
 */
export function nameAll(
  directories: readonly string[],
  kind: 'models' | 'indexes',
): Record<string, string> {
  const named: Record<string, string> = {};
  for (const text of directories) {
    const [, given, path] = /^([\w.-]+)=(.+)$/.exec(text) ?? [];
    const directory = path ?? text;
    const name = given ?? folderName(directory);
    if (Object.hasOwn(named, name)) {
      throw new BantamError(`Two ${kind} have the name "${name}"; name them yourself: NAME=PATH.`);
    }
    named[name] = directory;
  }
  return named;
}

function folderName(directory: string): string {
  const path = resolve(directory);
  const name = basename(path).replace(/\.safetensors$/, '');
  return ['model', 'best'].includes(name) ? basename(dirname(path)) : name;
}
