/** Schemas of configurations: one declaration gives types, defaults, checks, messages and docs. */
import * as v from 'valibot';
import { didYouMean } from './did-you-mean.js';
import { BantamError } from './errors.js';

/** Any synchronous schema. */
export type AnySchema = v.GenericSchema;

/** The members of a group of settings, by name. */
export type Entries = v.ObjectEntries;

/** A group of settings: an object that has these members and no others. */
export type Group<E extends Entries = Entries> = v.StrictObjectSchema<E, undefined>;

/** An integer of at least 1. */
export function count() {
  return wholeOf('a whole number of at least 1', 1);
}

/** An integer of at least 0, such as a token's id. */
export function index() {
  return wholeOf('a whole number of at least 0', 0);
}

function wholeOf(wanted: string, least: number) {
  return v.pipe(v.number(wanted), v.safeInteger(wanted), v.minValue(least, wanted));
}

/** Any finite number. */
export function finite() {
  const wanted = 'a finite number';
  return v.pipe(v.number(wanted), v.finite(wanted));
}

/** A number above 0. */
export function positive() {
  const wanted = 'a number above 0';
  return v.pipe(v.number(wanted), v.finite(wanted), v.gtValue(0, wanted));
}

/** A number of at least `least`. */
export function atLeast(least: number) {
  const wanted = `a number of at least ${least}`;
  return v.pipe(v.number(wanted), v.finite(wanted), v.minValue(least, wanted));
}

/** A fraction below 1: 0 ≤ x < 1. */
export function fraction() {
  const wanted = 'a number of at least 0 and below 1';
  return v.pipe(v.number(wanted), v.minValue(0, wanted), v.ltValue(1, wanted));
}

/** A number from 0 to 1, both included. */
export function unitInterval() {
  const wanted = 'a number from 0 to 1';
  return v.pipe(v.number(wanted), v.minValue(0, wanted), v.maxValue(1, wanted));
}

/** True or false. */
export function flag() {
  return v.boolean('true or false');
}

/** Any string. */
export function text() {
  return v.string('a string');
}

/** One of a few names. */
export function oneOf<const T extends readonly [string, ...string[]]>(...names: T) {
  return v.picklist(names, alternatives(names));
}

/** A schema of a list, whose type is readonly on both sides. */
type ListSchema<S extends AnySchema> = v.GenericSchema<
  readonly v.InferInput<S>[],
  readonly v.InferOutput<S>[]
>;

/** A list of any length. */
export function listOf<const S extends AnySchema>(item: S): ListSchema<S> {
  return v.array(item, 'a list');
}

/** A list of one of a few lengths, such as the depth of each stage. */
export function tupleOf<const S extends AnySchema>(
  item: S,
  ...lengths: readonly [number, ...number[]]
): ListSchema<S> {
  const wanted = `a list of ${lengths.join(' or ')} items`;
  return v.pipe(
    v.array(item, wanted),
    v.check((list) => lengths.includes(list.length), wanted),
  );
}

/** A JSON object with any members. */
export function anyObject() {
  return v.custom<Readonly<Record<string, unknown>>>(isObject, 'an object');
}

/** A setting with its default and a sentence for people, which docs and editors show. */
export function setting<const S extends AnySchema, const D extends v.InferInput<S>>(
  schema: S,
  fallback: D,
  description: string,
) {
  return v.optional(v.pipe(schema, v.description(description)), fallback);
}

/** A sentence for people about a setting that has no default. */
export function described<const S extends AnySchema>(schema: S, description: string) {
  return v.pipe(schema, v.description(description));
}

/** The members of groups whose `type` tells them apart. */
export type TaggedOptions = v.VariantOptions<'type'>;

/** Input of {@link tagged}: a group with its `type`, or that name alone for a group of defaults. */
export type TaggedInput<O extends TaggedOptions> = WithTag<
  v.InferInput<v.VariantSchema<'type', O, undefined>>
>;

type WithTag<Input> = Input | (Input extends { readonly type: infer Tag } ? Tag : never);

/** One of several groups, told apart by `type`. The name alone stands for that group's defaults. */
export function tagged<const O extends TaggedOptions>(options: O) {
  type Output = v.InferOutput<v.VariantSchema<'type', O, undefined>>;
  type Schema = v.GenericSchema<TaggedInput<O>, Output>;
  const whole = v.variant('type', options);
  // The literals of the options, whose types TypeScript cannot collect from a list.
  const names = tagsOf(whole) as TaggedInput<O>[] & [string, ...string[]];
  const named = v.pipe(
    v.picklist(names, alternatives(names)),
    v.transform((type) => v.parse(whole, { type })),
  );
  return v.lazy((value): Schema => (typeof value === 'string' ? (named as Schema) : whole));
}

/** An object that has these members and no others; a list, which valibot would take, is none. */
export function group<const E extends Entries>(entries: E): Group<E> {
  const schema = v.strictObject(entries);
  return {
    ...schema,
    '~run': (dataset, config) => {
      const { value } = dataset;
      if (!Array.isArray(value)) return schema['~run'](dataset, config);
      const refused = schema['~run']({ value: null }, config);
      for (const issue of refused.issues ?? []) Object.assign(issue, { input: value });
      return refused;
    },
  };
}

/** Tells a JSON object from other values: no array, not null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Options of {@link read}. */
export interface ReadOptions {
  /** Name of the value in messages, such as `vision`. */
  readonly where: string;
  /** Class of the error. Default {@link BantamError}. */
  readonly error?: new (message: string) => Error;
}

/**
 * Checks a value and fills in defaults.
 *
 * @throws BantamError, or the given error, naming the first thing that is wrong: an unknown member
 * and the nearest known one, a missing member, or a value that is not accepted.
 */
export function read<const S extends AnySchema>(
  schema: S,
  value: unknown,
  { where, error = BantamError }: ReadOptions,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  throw new error(describeIssue(findProblem(schema, value, result.issues[0]), where));
}

/**
 * Checks settings and fills in defaults. Messages name a setting by its path, such as
 * `train.batchSize`.
 *
 * @throws The given error as {@link read} does.
 */
export function readSettings<const S extends AnySchema>(
  schema: S,
  value: unknown,
  { error }: Required<Pick<ReadOptions, 'error'>>,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  throw new error(describeSetting(findProblem(schema, value, result.issues[0])));
}

/** The first thing that is wrong with a value. */
interface Problem {
  readonly kind: 'unknown' | 'missing' | 'refused';
  /** Path of it; empty for the value itself. */
  readonly keys: readonly (string | number)[];
  /** Names of the members beside it. */
  readonly siblings: readonly string[];
  readonly input: unknown;
  /** Description of an accepted value. */
  readonly wanted: string;
}

function findProblem(schema: AnySchema, value: unknown, issue: v.BaseIssue<unknown>): Problem {
  const keys = (issue.path ?? []).map(({ key }) => key as string | number);
  const members = membersAt(schema, value, keys.slice(0, -1));
  const found = { keys, siblings: Object.keys(members), input: issue.input };
  const last = keys.at(-1);
  if (last !== undefined && issue.type === 'strict_object' && issue.expected !== 'Object') {
    const entry = members[String(last)];
    if (issue.expected === 'never' || entry === undefined) {
      return { ...found, kind: 'unknown', wanted: '' };
    }
    const lacking = v.safeParse(entry, undefined);
    const wanted = lacking.success ? '' : wantedOf(lacking.issues[0]);
    return { ...found, kind: 'missing', wanted };
  }
  const kind = issue.type === 'variant' && issue.input === undefined ? 'missing' : 'refused';
  return { ...found, kind, wanted: wantedOf(issue) };
}

/** One sentence about a problem of a value named `where`. */
function describeIssue({ kind, keys, siblings, input, wanted }: Problem, where: string): string {
  const last = keys.at(-1);
  if (last === undefined) return `${where} must be ${wanted}.`;
  const place = keys.slice(0, -1).toReversed().map(named);
  const owner = [...place, where].join(' of ');
  switch (kind) {
    case 'unknown':
      return `${owner} has no setting "${last}"${didYouMean(String(last), siblings)}.`;
    case 'missing':
      return `${owner} lacks "${last}"${wanted === '' ? '' : `, ${wanted}`}.`;
    case 'refused':
      return `${named(last)} of ${owner} is ${show(input)}; it must be ${wanted}.`;
  }
}

/** One sentence about a problem of settings. */
function describeSetting({ kind, keys, siblings, input, wanted }: Problem): string {
  const last = keys.at(-1);
  if (last === undefined) return `The settings must be ${wanted}.`;
  const parents = keys.slice(0, -1);
  const path = settingPath(keys);
  switch (kind) {
    case 'unknown': {
      const known = siblings.map((sibling) => settingPath([...parents, sibling]));
      return `There is no setting '${path}'${didYouMean(path, known)}.`;
    }
    case 'missing':
      return `The setting '${path}' is missing${wanted === '' ? '' : `; it must be ${wanted}`}.`;
    case 'refused':
      return `The setting '${path}' is ${show(input)}; it must be ${wanted}.`;
  }
}

/** `strategy.stages[1].lr` */
function settingPath(keys: readonly (string | number)[]): string {
  return keys
    .map((key) => (typeof key === 'number' ? `[${key}]` : `.${key}`))
    .join('')
    .replace(/^\./, '');
}

function named(key: string | number): string {
  return typeof key === 'number' ? `item ${key + 1}` : `"${key}"`;
}

function show(value: unknown): string {
  if (typeof value === 'number') return String(value);
  const shown = JSON.stringify(value) as string | undefined;
  return shown ?? String(value);
}

function wantedOf(issue: v.BaseIssue<unknown>): string {
  if (issue.type === 'strict_object' || issue.type === 'object') return 'an object of settings';
  // A tagged union without its tag, or with an unknown one: `("softmax" | "sigmoid")`.
  if (issue.type === 'variant') {
    if (issue.expected === null || issue.expected === 'Object') return 'an object of settings';
    return issue.expected.replace(/^\(|\)$/g, '').replaceAll(' | ', ' or ');
  }
  return issue.message;
}

function alternatives(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(' or ');
}

/** The members that the group at a path of a value has. */
function membersAt(schema: AnySchema, value: unknown, path: readonly (string | number)[]): Entries {
  let entries = entriesOf(schema, value);
  let at = value;
  for (const key of path) {
    at = (at as Readonly<Record<string | number, unknown>> | undefined)?.[key];
    if (typeof key === 'number') continue;
    const member = entries[key];
    entries = member === undefined ? {} : entriesOf(member, at);
  }
  return entries;
}

interface Inner {
  /** Schema within an optional or nullable one. */
  readonly wrapped?: AnySchema;
  /** Schema of a list's items. */
  readonly item?: AnySchema;
  readonly entries?: Entries;
  /** Options of a union. */
  readonly options?: readonly (AnySchema | string)[];
  /** Schema for a value. */
  readonly getter?: (value: unknown) => AnySchema;
}

/** The groups of a tagged union within optional schemas and lists; of a group, itself. */
export function groupsOf(schema: AnySchema): Group[] {
  const { wrapped, item, entries, options = [], getter } = schema as AnySchema & Inner;
  const inner = wrapped ?? item ?? getter?.({});
  if (inner !== undefined) return groupsOf(inner);
  if (entries !== undefined) return [schema as Group];
  return options.filter((option) => typeof option !== 'string').flatMap(groupsOf);
}

/**
 * The members of a group within optional schemas, lists and unions; none of other schemas. Of a tagged
 * union, those of the groups that a value's tags leave open.
 */
export function entriesOf(schema: AnySchema, value?: unknown): Entries {
  const groups = groupsOf(schema);
  const open = isObject(value) ? groups.filter(({ entries }) => fits(entries, value)) : groups;
  const chosen = open.length > 0 ? open : groups;
  return Object.assign({}, ...chosen.map(({ entries }) => entries)) as Entries;
}

/** The default of a {@link setting}; undefined: it has none. */
export function defaultOf(schema: AnySchema): unknown {
  return (schema as AnySchema & { readonly default?: unknown }).default;
}

/** The string that a schema accepts alone, such as a tag. */
export function literalOf(schema: AnySchema): string | undefined {
  const { wrapped, literal } = schema as AnySchema & Inner & { readonly literal?: unknown };
  if (wrapped !== undefined) return literalOf(wrapped);
  return typeof literal === 'string' ? literal : undefined;
}

function fits(entries: Entries, value: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(entries).every(([name, entry]) => {
    const literal = literalOf(entry);
    return literal === undefined || value[name] === undefined || value[name] === literal;
  });
}

/** The values of `type` of a tagged union; none of other schemas. */
export function tagsOf(schema: AnySchema): string[] {
  const tags = groupsOf(schema).flatMap(({ entries }) => {
    const { type } = entries;
    return (type && literalOf(type)) ?? [];
  });
  return [...new Set(tags)];
}
