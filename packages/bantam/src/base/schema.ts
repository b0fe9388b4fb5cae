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

/** A list of exactly `length` items, such as the depth of each stage. */
export function tupleOf<const S extends AnySchema>(item: S, length: number): ListSchema<S> {
  const wanted = `a list of ${length} items`;
  return v.pipe(v.array(item, wanted), v.length(length, wanted));
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

/** An object that has these members and no others. */
export function group<const E extends Entries>(entries: E): Group<E> {
  return v.strictObject(entries);
}

/** Whether a value is a JSON object: no array, not null. */
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
  throw new error(describeIssue(schema, result.issues[0], where));
}

/** One sentence about an issue of valibot, of a value named `where`. */
function describeIssue(schema: AnySchema, issue: v.BaseIssue<unknown>, where: string): string {
  const keys = (issue.path ?? []).map(({ key }) => key as string | number);
  const last = keys.at(-1);
  const parents = keys.slice(0, -1);
  const place = [...parents].reverse().map((key) => named(key));
  const owner = [...place, where].join(' of ');
  if (last === undefined) return `${where} must be ${wantedOf(issue)}.`;
  if (issue.type === 'strict_object' && issue.expected !== 'Object') {
    const members = membersAt(schema, issue.path ?? []);
    if (issue.expected === 'never') {
      return `${owner} has no setting "${last}"${didYouMean(String(last), Object.keys(members))}.`;
    }
    const entry = members[String(last)];
    const missing = entry && v.safeParse(entry, undefined);
    const wanted = missing && !missing.success ? `, ${wantedOf(missing.issues[0])}` : '';
    return `${owner} lacks "${last}"${wanted}.`;
  }
  return `${named(last)} of ${owner} is ${show(issue.input)}; it must be ${wantedOf(issue)}.`;
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
  // A tagged union without its tag, or with an unknown one.
  if (issue.type === 'variant') return `an object whose type is ${issue.expected ?? 'known'}`;
  return issue.message;
}

function alternatives(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(' or ');
}

/** The members of the group that the last key of an issue's path is, or should be, one of. */
function membersAt(schema: AnySchema, path: readonly v.IssuePathItem[]): Entries {
  const [root] = path;
  let entries = entriesOf(schema, root?.input);
  for (const { key, value } of path.slice(0, -1)) {
    if (typeof key === 'number') continue;
    const member = entries[String(key)];
    entries = member === undefined ? {} : entriesOf(member, value);
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
  /** Tag of a tagged union. */
  readonly key?: string;
}

/**
 * The members of a group within optional schemas, lists and unions; none of other schemas.
 *
 * @param value - chooses the option of a tagged union by its tag; default: members of all options
 */
export function entriesOf(schema: AnySchema, value?: unknown): Entries {
  const { wrapped, item, entries, options = [], key } = schema as AnySchema & Inner;
  const inner = wrapped ?? item;
  if (inner !== undefined) return entriesOf(inner, value);
  if (entries !== undefined) return entries;
  const groups = options
    .filter((option) => typeof option !== 'string')
    .map((option) => entriesOf(option));
  if (key === undefined || !isObject(value)) return Object.assign({}, ...groups) as Entries;
  const tag = value[key];
  return groups.find(({ [key]: own }) => own !== undefined && v.is(own, tag)) ?? {};
}
