/** Loading of the trained models and reinforced data sets that training learns from. */
import type { Device } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { loadModel, type LoadedModel } from '../../models/index.js';
import type { StrategyConfig } from '../strategies/index.js';
import { ReinforcedSet } from './reinforced-set.js';

/** Options of {@link loadModels}. */
export interface LoadModelsOptions {
  readonly device: Device;
  /** Type of the weights. Default float32. */
  readonly dtype?: 'float32' | 'float64';
  /** Start of the error if a directory cannot be read. */
  readonly refusal: (directory: string) => string;
}

/** Trained models in their form for inference, freed together. */
export interface LoadedModels extends Disposable {
  readonly models: readonly LoadedModel[];
}

/**
 * Reads model directories for inference, all or none.
 *
 * @throws BantamError if one of them is missing or damaged.
 */
export async function loadModels(
  directories: readonly string[],
  { device, dtype = 'float32', refusal }: LoadModelsOptions,
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
      const loaded = await loadModel(directory, { fused: true });
      models.push(loaded);
      loaded.model.to({ device, dtype });
    } catch (error) {
      loaded[Symbol.dispose]();
      if (!(error instanceof BantamError)) throw error;
      throw new BantamError(`${refusal(directory)}. ${error.message}`);
    }
  }
  return loaded;
}

/** The teachers and the reinforced data set of a strategy. */
export interface StrategyModels extends LoadedModels {
  readonly reinforced: ReinforcedSet | null;
}

/**
 * Reads the model directories and the reinforced data set that the strategy's settings name.
 *
 * @throws BantamError if one of them is missing or damaged.
 */
export async function loadStrategyModels(
  strategy: StrategyConfig,
  { device, dtype = 'float32' }: Pick<LoadModelsOptions, 'device' | 'dtype'>,
): Promise<StrategyModels> {
  const { teachers, reinforced: folder } =
    'teachers' in strategy ? strategy : { teachers: [], reinforced: '' };
  const loaded = await loadModels(teachers, {
    device,
    dtype,
    refusal: (directory) => `The strategy '${strategy.type}' cannot use the model in ${directory}`,
  });
  try {
    const reinforced = folder === '' ? null : await ReinforcedSet.open(folder);
    return {
      models: loaded.models,
      reinforced,
      [Symbol.dispose]() {
        reinforced?.[Symbol.dispose]();
        loaded[Symbol.dispose]();
      },
    };
  } catch (error) {
    loaded[Symbol.dispose]();
    throw error;
  }
}
