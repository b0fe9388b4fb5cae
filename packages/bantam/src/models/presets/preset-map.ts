import { withChanges, type ModelConfig, type ModelConfigInput } from '../config.js';
import { BantamError } from '../../base/errors.js';
import { didYouMean } from '../../base/did-you-mean.js';

/** Model configurations by name, while they are put together. */
export type Presets = Map<string, ModelConfig>;

/** @throws BantamError naming the nearest preset. */
export function findPreset(presets: ReadonlyMap<string, ModelConfig>, name: string): ModelConfig {
  const config = presets.get(name);
  if (config !== undefined) return config;
  throw new BantamError(
    `There is no model preset "${name}"${didYouMean(name, [...presets.keys()])}; "bantam models" lists them.`,
  );
}

/** Adds a preset that is another one with changes. */
export function derive(
  presets: Presets,
  name: string,
  from: string,
  changes: ModelConfigInput,
): void {
  presets.set(name, withChanges(findPreset(presets, from), changes));
}
