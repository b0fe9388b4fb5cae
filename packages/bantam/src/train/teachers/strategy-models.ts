import { loadModels, type LoadedModels } from './load-models.js';
import { ReinforcedSet } from './reinforced-set.js';
import { strategyKind, type StrategyConfig } from '../strategies/index.js';

/** The trained models and the reinforced set that a strategy works with. */
export interface StrategyModels extends LoadedModels {
  readonly reinforced: ReinforcedSet | null;
}

/**
 * Reads the model directories and the reinforced set that the strategy's settings name.
 *
 * @throws BantamError where one of them is missing or damaged.
 */
export async function loadStrategyModels(strategy: StrategyConfig): Promise<StrategyModels> {
  const kind = strategyKind(strategy.type);
  const loaded = await loadModels(
    kind.models?.(strategy) ?? [],
    (directory) => `The strategy '${strategy.type}' cannot use the model in ${directory}`,
  );
  const folder = kind.reinforced?.(strategy) ?? '';
  try {
    const reinforced = folder === '' ? null : await ReinforcedSet.open(folder);
    return {
      ...loaded,
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
