import { InvalidArgumentError } from 'commander';

/** Reads an option's value as 0, 1, 2, … */
export function wholeNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < 0) {
    throw new InvalidArgumentError('It must be a whole number of at least 0');
  }
  return value;
}

/** Reads an option's value as a TCP port, 0 to 65535. */
export function portNumber(text: string): number {
  const value = wholeNumber(text);
  if (value > 65535) throw new InvalidArgumentError('It must be a port from 0 to 65535');
  return value;
}

/** Reads an option's value as 1, 2, 3, … */
export function positiveInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) {
    throw new InvalidArgumentError('It must be a whole number above 0');
  }
  return value;
}

/** Reads an option's value as a number above 0. */
export function positiveNumber(text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) {
    throw new InvalidArgumentError('It must be a number above 0');
  }
  return value;
}

/** Reads an option's value as a fraction: above 0, at most 1. */
export function positiveFraction(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 1)) {
    throw new InvalidArgumentError('It must be a number above 0, at most 1');
  }
  return value;
}

/** Reads an option's value as a number from 0 to 1. */
export function unitNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1)) {
    throw new InvalidArgumentError('It must be a number from 0 to 1');
  }
  return value;
}

/** Reads an option's value as numbers from 0 to 1 with commas: `0,0.5,1`. */
export function factorList(text: string): readonly number[] {
  return text.split(',').map(unitNumber);
}

/** Reads an option's value as a number of at least 0. */
export function atLeastZero(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError('It must be a number of at least 0');
  }
  return value;
}

/** Reads an option's value as numbers above 0 with commas: `1,5,10`. */
export function numberList(text: string): readonly number[] {
  return text.split(',').map(positiveInteger);
}

/** Reads an option's value as names with commas: `price,season`. */
export function nameList(text: string): readonly string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.includes('')) throw new InvalidArgumentError('It must be names with commas');
  return names;
}

/** Reads an option's value as any number. */
export function finiteNumber(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) {
    throw new InvalidArgumentError('It must be a number');
  }
  return value;
}

/** Reads an option's value as the name of a device; whether there is such a device shows later. */
export function deviceName(text: string): string {
  // `emulated` is the device of a checkout's own tests.
  if (/^(auto|cpu|mps|(cuda|emulated)(:\d+)?)$/.test(text)) return text;
  throw new InvalidArgumentError('It must be auto, cpu, cuda, cuda:N or mps');
}

/** Adds the `name=value` of a repeatable option to those before it. */
export function namedValues(
  pair: string,
  before: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const equals = pair.indexOf('=');
  if (equals < 1) throw new InvalidArgumentError('It must be written name=value');
  return { ...before, [pair.slice(0, equals)]: pair.slice(equals + 1) };
}

/** Adds the value of a repeatable option to those before it. */
export function listed(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}
