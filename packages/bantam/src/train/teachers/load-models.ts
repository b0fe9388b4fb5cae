import { BantamError } from '../../base/errors.js';
import { loadModel, type LoadedModel } from '../../models/index.js';

/** Trained models in their form for inference, freed together. */
export interface LoadedModels extends Disposable {
  readonly models: readonly LoadedModel[];
}

/**
 * Reads model directories for inference, all or none.
 *
 * @param refusal - How the error begins where a directory cannot be read
 * @throws BantamError where one of them is missing or damaged.
 */
export async function loadModels(
  directories: readonly string[],
  refusal: (directory: string) => string,
): Promise<LoadedModels> {
  const models: LoadedModel[] = [];
  const loaded = {
    models,
    [Symbol.dispose]() {
      for (const { model } of models.splice(0)) model.dispose();
    },
  };
  for (const directory of directories) {
    try {
      models.push(await loadModel(directory, { fused: true }));
    } catch (error) {
      loaded[Symbol.dispose]();
      if (!(error instanceof BantamError)) throw error;
      throw new BantamError(`${refusal(directory)}. ${error.message}`);
    }
  }
  return loaded;
}
