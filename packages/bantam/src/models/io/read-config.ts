import { BantamError } from '../../base/errors.js';
import { readJson } from '../../base/json-file.js';
import { parseModelConfig, type ModelConfig } from '../config.js';
import { isFolder } from './files.js';
import { formatOf } from './formats/formats.js';
import { modelConfig, presets } from '../presets/presets.js';

/**
 * The configuration of a preset, of a model directory of any format (its weights are not read), or of
 * a `.json` file as `bantam models show --json` prints it under `config`.
 *
 * @throws BantamError naming the nearest preset, or what is wrong with the directory or the file.
 */
export async function readModelConfig(name: string): Promise<ModelConfig> {
  if (name.endsWith('.json')) {
    const found = await readJson(name, 'model');
    if (found !== undefined) return parseModelConfig(found);
    throw new BantamError(
      `There is no file ${name}; name a preset, a model directory, or a model's configuration.`,
    );
  }
  if (presets.has(name) || !(await isFolder(name))) return modelConfig(name);
  const format = await formatOf(name);
  return (await format.load(name)).config;
}
