import { BantamError } from '../../../base/errors.js';

/** A value of a sample's array, by its position there. */
export interface ArrayField {
  readonly name: string;
  /** Names of the values 0, 1, 2, …; absent: the numbers themselves. */
  readonly values?: readonly string[];
}

/**
 * Reads the names of the values in `.npy` members: `region,year,y`, in their order; an empty name
 * leaves one out. Names of a field's values may follow: `region:Asia|Europe|Africa`.
 *
 * @throws BantamError for a name that is there twice, or no names at all.
 */
export function parseArrayFields(text: string, spec: string): readonly ArrayField[] {
  const fields = text.split(',').map((part): ArrayField => {
    const colon = part.indexOf(':');
    if (colon < 0) return { name: part.trim() };
    const values = part.slice(colon + 1).split('|');
    return { name: part.slice(0, colon).trim(), values: values.map((value) => value.trim()) };
  });
  const names = fields.map(({ name }) => name).filter(Boolean);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (names.length > 0 && twice === undefined) return fields;
  throw new BantamError(
    `npy=${text} in "${spec}" ${twice === undefined ? 'holds no names' : `names "${twice}" twice`}; name the values of the .npy members in their order, such as npy=region,year,y.`,
  );
}

/** The named values of an array as metadata; values that the array does not have are left out. */
export function namedValues(
  fields: readonly ArrayField[],
  values: readonly (string | number | boolean)[],
): Record<string, string> {
  const named: Record<string, string> = {};
  fields.forEach(({ name, values: names }, i) => {
    const value = values[i];
    if (name === '' || value === undefined) return;
    named[name] = names?.[Number(value)] ?? String(value);
  });
  return named;
}
