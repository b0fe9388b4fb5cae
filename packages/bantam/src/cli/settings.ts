/** `--set name=value` of a run, and of a model's configuration. */
import { entriesOf, isObject, type AnySchema } from '../base/schema.js';
import { parseModelConfig, type ModelConfig } from '../models/index.js';
import { runSchema, type RunOptions } from '../train/index.js';
import { fromJson, settingsTree, unknownSetting, type NamedValues } from './named-settings.js';

/** Options of a run that are named by options of their own, not by `--set`. */
const ownOptions = ['data', 'budget', 'seed', 'model'];

const settable = Object.fromEntries(
  Object.entries(entriesOf(runSchema)).filter(([name]) => !ownOptions.includes(name)),
) as Readonly<Record<string, AnySchema>>;

/**
 * The options of a run that named values mean; `model.*` is applied to a model's configuration.
 *
 * @param model - Reads the configuration that `model.*` changes; called only if there is such a name
 * @throws UsageError that names the nearest known setting, or a value that cannot be read.
 */
export async function runSettings(
  values: NamedValues,
  model: () => Promise<ModelConfig>,
): Promise<Partial<RunOptions>> {
  const [ofModel, others] = split(values);
  const tree = settingsTree(settable, others, ['model.*']);
  if (Object.keys(ofModel).length > 0) tree.model = changeModel(await model(), ofModel);
  // Checked against the same schema by the library.
  return tree;
}

/**
 * A model's configuration with the changes that `model.*` names.
 *
 * @throws UsageError that names the nearest known setting; BantamError if the model cannot be so.
 */
export function changeModel(config: ModelConfig, values: NamedValues): ModelConfig {
  const tree: Record<string, unknown> = { model: structuredClone(config) };
  const known = leaves(tree, '');
  for (const [path, text] of Object.entries(values)) {
    const names = path.split('.');
    const last = names.pop() ?? '';
    let parent: unknown = tree;
    for (const name of names) parent = isObject(parent) ? parent[name] : undefined;
    if (names.length === 0 || !isObject(parent) || !(last in parent))
      throw unknownSetting(path, known);
    parent[last] = typeof parent[last] === 'string' ? text : fromJson(text);
  }
  return parseModelConfig(tree.model);
}

function split(values: NamedValues): [ofModel: Record<string, string>, others: NamedValues] {
  const entries = Object.entries(values);
  const isOfModel = ([name]: [string, string]): boolean => name.startsWith('model.');
  return [
    Object.fromEntries(entries.filter(isOfModel)),
    Object.fromEntries(entries.filter((entry) => !isOfModel(entry))),
  ];
}

function leaves(tree: Readonly<Record<string, unknown>>, prefix: string): string[] {
  return Object.entries(tree).flatMap(([name, value]) =>
    isObject(value) ? leaves(value, `${prefix}${name}.`) : [`${prefix}${name}`],
  );
}
