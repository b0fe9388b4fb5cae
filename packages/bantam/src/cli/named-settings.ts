/** Settings by dotted names, as `--set name=value` gives them, typed by a schema. */
import * as v from 'valibot';
import { didYouMean } from '../base/did-you-mean.js';
import { UsageError } from '../base/errors.js';
import { defaultOf, entriesOf, groupsOf, isObject, type AnySchema } from '../base/schema.js';

/** Values by dotted name, as `--set` was given them. */
export type NamedValues = Readonly<Record<string, string>>;

type Tree = Record<string, unknown>;

/** Schemas of settings by name. */
export type Settable = Readonly<Record<string, AnySchema>>;

/**
 * The options that named values mean; they are checked by the library, against the same schemas.
 *
 * @param more - Further names to suggest.
 * @throws UsageError that names the nearest known setting.
 */
export function settingsTree(
  settable: Settable,
  values: NamedValues,
  more: readonly string[] = [],
): Tree {
  const tree: Tree = {};
  // The type of a strategy decides which settings it has.
  const sorted = Object.entries(values).sort(([a], [b]) => tagsFirst(a, b));
  const known = (): string[] => [...settingNames(settable, tree, ''), ...more];
  for (const [name, text] of sorted) assign(settable, tree, { name, text, known });
  return tree;
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
  if (entry === undefined) throw unknownSetting(name, known());
  const [last, ...parents] = [first, ...rest].reverse();
  let group = tree;
  let members: Readonly<Record<string, AnySchema>> = top;
  for (const parent of parents.reverse()) {
    const found = members[parent];
    if (found === undefined) throw unknownSetting(name, known());
    group = groupAt(group, parent, found);
    members = entriesOf(found, group);
  }
  const leaf = last === undefined ? undefined : members[last];
  if (last === undefined || leaf === undefined) throw unknownSetting(name, known());
  const value = valueFor(leaf, text);
  if (isGroup(leaf) && !accepts(leaf, value)) throw unknownSetting(name, known());
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
export function fromJson(text: string): unknown {
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
/** The error for a name that no setting has. */
export function unknownSetting(name: string, known: readonly string[]): UsageError {
  return new UsageError(`There is no setting '${name}'${didYouMean(name, known)}.`);
}
