/** `--set name=value`: settings by dotted names, typed by the schemas of their groups. */
import * as v from 'valibot';
import { didYouMean } from '../base/did-you-mean.js';
import { UsageError } from '../base/errors.js';
import { defaultOf, entriesOf, groupsOf, isObject, type AnySchema } from '../base/schema.js';
import { parseModelConfig, type ModelConfig } from '../models/index.js';
import { runSchema, type RunOptions } from '../train/index.js';

/** Values by dotted name, as `--set` was given them. */
export type NamedValues = Readonly<Record<string, string>>;

type Tree = Record<string, unknown>;

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
  const tree: Tree = {};
  // The type of a strategy decides which settings it has.
  const sorted = Object.entries(others).sort(([a], [b]) => tagsFirst(a, b));
  const known = (): string[] => [...settingNames(settable, tree, ''), 'model.*'];
  for (const [name, text] of sorted) assign(settable, tree, { name, text, known });
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
  const tree: Tree = { model: structuredClone(config) };
  const known = leaves(tree, '');
  for (const [path, text] of Object.entries(values)) {
    const names = path.split('.');
    const last = names.pop() ?? '';
    let parent: unknown = tree;
    for (const name of names) parent = isObject(parent) ? parent[name] : undefined;
    if (names.length === 0 || !isObject(parent) || !(last in parent)) throw unknown(path, known);
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

/** The types of groups before their members, the outer ones first. */
function tagsFirst(a: string, b: string): number {
  const rank = (name: string): number => (name.endsWith('.type') ? 0 : 1);
  return rank(a) - rank(b) || a.length - b.length;
}

interface Assignment {
  readonly name: string;
  readonly text: string;
  /** The names of all settings. */
  readonly known: () => readonly string[];
}

function assign(
  top: Readonly<Record<string, AnySchema>>,
  tree: Tree,
  { name, text, known }: Assignment,
): void {
  const [first = '', ...rest] = name.split('.');
  const entry = Object.hasOwn(top, first) ? top[first] : undefined;
  if (entry === undefined) throw unknown(name, known());
  const [last, ...parents] = [first, ...rest].reverse();
  let group = tree;
  let members: Readonly<Record<string, AnySchema>> = top;
  for (const parent of parents.reverse()) {
    const found = members[parent];
    if (found === undefined) throw unknown(name, known());
    group = groupAt(group, parent, found);
    members = entriesOf(found, group);
  }
  const leaf = last === undefined ? undefined : members[last];
  if (last === undefined || leaf === undefined) throw unknown(name, known());
  const value = valueFor(leaf, text);
  if (isGroup(leaf) && !accepts(leaf, value)) throw unknown(name, known());
  group[last] = value;
}

/** The group of that name in a tree; of a tagged union with its type, by default the schema's. */
function groupAt(tree: Tree, name: string, schema: AnySchema): Tree {
  const present = tree[name];
  const group: Tree = isObject(present) ? present : {};
  if (typeof present === 'string') group.type = present;
  if (groupsOf(schema).length > 1 && group.type === undefined) {
    const fallback = defaultOf(schema);
    group.type = isObject(fallback) ? fallback.type : fallback;
  }
  tree[name] = group;
  return group;
}

function isGroup(schema: AnySchema): boolean {
  return !isList(schema) && Object.keys(entriesOf(schema)).length > 0;
}

/** The value that a text means for a schema; one that it refuses is the library's to refuse. */
function valueFor(schema: AnySchema, text: string): unknown {
  const parsed = fromJson(text);
  const candidates = /^\s*[[{]/.test(text) ? [parsed, text] : [text, parsed];
  return candidates.find((candidate) => accepts(schema, candidate)) ?? parsed;
}

function accepts(schema: AnySchema, value: unknown): boolean {
  return v.safeParse(schema, value).success;
}

/** A number, true, false, null, a list or an object; any other text is itself. */
function fromJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    const number = Number(text);
    return text.trim() !== '' && Number.isFinite(number) ? number : text;
  }
}

/** Dotted names of the settings in groups, of tagged unions those that the chosen tags have. */
function settingNames(
  entries: Readonly<Record<string, AnySchema>>,
  values: Readonly<Record<string, unknown>>,
  prefix: string,
): string[] {
  return Object.entries(entries).flatMap(([name, schema]) => {
    const given = values[name];
    const value = groupsOf(schema).length > 1 ? groupAt({ [name]: given }, name, schema) : given;
    const members = entriesOf(schema, value) as Readonly<Record<string, AnySchema>>;
    if (!isGroup(schema)) return [`${prefix}${name}`];
    return settingNames(members, isObject(value) ? value : {}, `${prefix}${name}.`);
  });
}

function isList(schema: AnySchema): boolean {
  const { wrapped, item } = schema as AnySchema & { wrapped?: AnySchema; item?: AnySchema };
  return item !== undefined || (wrapped !== undefined && isList(wrapped));
}

function leaves(tree: Readonly<Record<string, unknown>>, prefix: string): string[] {
  return Object.entries(tree).flatMap(([name, value]) =>
    isObject(value) ? leaves(value, `${prefix}${name}.`) : [`${prefix}${name}`],
  );
}

function unknown(name: string, known: readonly string[]): UsageError {
  return new UsageError(`There is no setting '${name}'${didYouMean(name, known)}.`);
}
