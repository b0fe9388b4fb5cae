import { UsageError } from '../../errors.js';
import { didYouMean } from '../../nearest.js';
import type { Strategy } from '../strategy.js';
import { clip } from './clip.js';

const strategies: readonly Strategy[] = [clip];

/** The strategy with that name; an unknown one is an error that names the nearest. */
export function strategyByName(name: string): Strategy {
  const found = strategies.find((strategy) => strategy.name === name);
  if (found === undefined) {
    const known = strategies.map((strategy) => strategy.name);
    throw new UsageError(
      `There is no strategy '${name}'${didYouMean(name, known)}; choose one of: ${known.join(', ')}.`,
    );
  }
  return found;
}
