import { BantamError } from '../errors.js';
import { loadModel, type LoadedModel } from '../models/index.js';
import { strategyKind, type StrategyConfig } from './strategies/index.js';

/** The trained models that a strategy works with. */
export interface StrategyModels extends Disposable {
  readonly models: readonly LoadedModel[];
}

/**
 * Reads the model directories that the strategy's settings name.
 *
 * @throws BantamError where one of them is missing or damaged.
 */
export async function loadStrategyModels(strategy: StrategyConfig): Promise<StrategyModels> {
  const models: LoadedModel[] = [];
  const loaded = {
    models,
    [Symbol.dispose]() {
      for (const { model } of models.splice(0)) model.dispose();
    },
  };
  for (const directory of strategyKind(strategy.type).models?.(strategy) ?? []) {
    try {
      models.push(await loadModel(directory));
    } catch (error) {
      loaded[Symbol.dispose]();
      if (!(error instanceof BantamError)) throw error;
      throw new BantamError(
        `The strategy '${strategy.type}' cannot use the model in ${directory}. ${error.message}`,
      );
    }
  }
  return loaded;
}
