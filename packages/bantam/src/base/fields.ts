import { BantamError } from './errors.js';
import { didYouMean } from './did-you-mean.js';

/** What one member of a configuration may be. */
export interface Field<T> {
  /** Value of an absent member; without one the member must be given. */
  readonly fallback?: T;
  /** The values that are accepted, for messages. */
  readonly wanted: string;
  readonly accepts: (value: unknown) => boolean;
  /** Makes the member of an accepted value, named `where` in messages; default: it is the value. */
  readonly read?: (value: unknown, where: string) => T;
}

/** A field for every member of a configuration. */
export type Fields<T> = { readonly [Key in keyof T]-?: Field<T[Key]> };

/** A whole number of at least 1. */
export function count(fallback?: number): Field<number> {
  return field('a whole number of at least 1', (value) => isWhole(value) && value >= 1, fallback);
}

/** A whole number of at least 0, such as a token's id. */
export function index(fallback: number): Field<number> {
  return field('a whole number of at least 0', (value) => isWhole(value) && value >= 0, fallback);
}

/** A number above 0. */
export function positive(fallback: number): Field<number> {
  return field('a number above 0', (value) => isNumber(value) && value > 0, fallback);
}

/** A number of at least `least`. */
export function atLeast(least: number, fallback?: number): Field<number> {
  return field(
    `a number of at least ${least}`,
    (value) => isNumber(value) && value >= least,
    fallback,
  );
}

/** Any finite number. */
export function finite(fallback: number): Field<number> {
  return field('a finite number', isNumber, fallback);
}

/** A share: at least 0, below 1. */
export function share(fallback: number): Field<number> {
  return field(
    'a number from 0 up to, but not, 1',
    (value) => isNumber(value) && value >= 0 && value < 1,
    fallback,
  );
}

/** True or false. */
export function flag(fallback: boolean): Field<boolean> {
  return field('true or false', (value) => typeof value === 'boolean', fallback);
}

/** Any text. */
export function text(fallback?: string): Field<string> {
  return field('a text', (value) => typeof value === 'string', fallback);
}

/** A JSON object. */
export function object(): Field<Readonly<Record<string, unknown>>> {
  return field('an object', isObject);
}

/** An object with members of its own, absent ones by their fallback. */
export function section<T extends object>(fields: Fields<T>): Field<T> {
  return {
    ...field('an object of settings', isObject),
    read: (value, where) => readFields(value, fields, where),
  };
}

/** One of a few names; an absent member is the first. */
export function oneOf<T extends string>(...names: readonly [T, ...T[]]): Field<T> {
  const wanted = names.map((name) => `"${name}"`).join(' or ');
  return field(wanted, (value) => names.some((name) => name === value), names[0]);
}

/** A list of as many items as its fallback, such as the depth of each stage. */
export function list<T>(
  { wanted, accepts }: Field<T>,
  fallback: readonly T[],
): Field<readonly T[]> {
  return {
    wanted: `a list of ${fallback.length} items, each ${wanted}`,
    accepts: (value) =>
      Array.isArray(value) && value.length === fallback.length && value.every(accepts),
    fallback,
  };
}

/** A list of any length; an absent one is empty. */
export function listOf<T>({ wanted, accepts, read }: Field<T>): Field<readonly T[]> {
  return {
    wanted: `a list, each item ${wanted}`,
    accepts: (value) => Array.isArray(value) && value.every(accepts),
    fallback: [],
    ...(read && {
      read: (value, where) =>
        (value as readonly unknown[]).map((item, i) => read(item, `item ${i + 1} of ${where}`)),
    }),
  };
}

/** A field that may also be null, which an absent member is. */
export function optional<T>({ wanted, accepts, read }: Field<T>): Field<T | null> {
  return {
    wanted: `${wanted}, or null`,
    accepts: (value) => value === null || accepts(value),
    fallback: null,
    ...(read && { read: (value, where) => (value === null ? null : read(value, where)) }),
  };
}

function field<T>(wanted: string, accepts: (value: unknown) => boolean, fallback?: T): Field<T> {
  return fallback === undefined ? { wanted, accepts } : { wanted, accepts, fallback };
}

function isNumber(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value);
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** Whether a value is a JSON object: no array, not null. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Reads an object whose members are described by `fields`, absent ones by their fallback.
 *
 * @param where - The object's name in messages, such as `vision`.
 * @throws BantamError naming an unknown member and the nearest known one, a missing member, or a
 * value that is not accepted.
 */
export function readFields<T extends object>(value: unknown, fields: Fields<T>, where: string): T {
  if (!isObject(value)) throw new BantamError(`${where} must be an object of settings.`);
  const known = Object.keys(fields);
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    throw new BantamError(`${where} has no setting "${key}"${didYouMean(key, known)}.`);
  }
  const read = known.map((key) => {
    const { wanted, accepts, fallback, read: make } = fields[key as keyof T];
    const given = value[key] ?? fallback;
    if (given === undefined) throw new BantamError(`${where} lacks "${key}", ${wanted}.`);
    if (accepts(given)) return [key, make ? make(given, `"${key}" of ${where}`) : given];
    throw new BantamError(
      `"${key}" of ${where} is ${JSON.stringify(given)}; it must be ${wanted}.`,
    );
  });
  return Object.fromEntries(read) as T;
}
