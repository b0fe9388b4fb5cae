import { BantamError } from '../../../base/errors.js';
import { didYouMean } from '../../../base/did-you-mean.js';
import { isObject } from '../../../base/schema.js';
import { commonCaptionNames, promptsOf, textsOf } from '../captions.js';
import type { TableRow } from './indexed-source.js';
import { commonImageNames, orNone } from './table-columns.js';

type JsonObject = Readonly<Record<string, unknown>>;

/** The fields of JSON objects by their role, as dotted paths. */
export interface JsonFields {
  readonly image: string;
  /** Fields with captions; none if the captions are made of the label, or there are none. */
  readonly captions: readonly string[];
  readonly label?: string;
  /** Names of the classes that a label counts from 0. */
  readonly classes?: readonly string[];
}

/** Fields that a specification names; the others are found by their usual names. */
export interface NamedFields {
  readonly image?: string | undefined;
  /** One or several with commas between; `none` for images without captions. */
  readonly caption?: string | undefined;
  readonly label?: string | undefined;
}

/** An object as a record's row, and how it was read otherwise; or the reason why it is left out. */
export type InterpretedObject =
  { readonly row: TableRow; readonly changed?: string } | { readonly leftOut: string };

/**
 * Values at a dotted path: a field of that very name, else the members of its parts. Lists on the way
 * stand for each of their members: `sentences.raw` is the `raw` of every sentence.
 */
export function valuesAt(value: unknown, path: string): unknown[] {
  if (Array.isArray(value)) return value.flatMap((member) => valuesAt(member, path));
  if (!isObject(value)) return [];
  if (Object.hasOwn(value, path)) {
    const found = value[path];
    return Array.isArray(found) ? found : [found];
  }
  // The first part may hold dots itself.
  for (let dot = path.indexOf('.'); dot > 0; dot = path.indexOf('.', dot + 1)) {
    const head = path.slice(0, dot);
    if (Object.hasOwn(value, head)) return valuesAt(value[head], path.slice(dot + 1));
  }
  return [];
}

/** The fields by the named roles and the usual names, given the first few objects of a file. */
export function findFields(
  examples: readonly JsonObject[],
  named: NamedFields,
  path: string,
): JsonFields {
  const fields = new Set(examples.flatMap((object) => fieldsOf(object)));
  const find = (role: 'image' | 'label' | 'caption', name: string | undefined): string => {
    if (name !== undefined && examples.some((object) => valuesAt(object, name).length > 0)) {
      return name;
    }
    const found = [...fields].join(', ');
    throw new BantamError(
      name === undefined
        ? `"${path}" has no field with a usual name for its ${role}; name one with ?${role}=FIELD${orNone(role)}; it has ${found}.`
        : `"${path}" has no ${role} field "${name}"${didYouMean(name, [...fields])}; it has ${found}.`,
    );
  };
  const usual = (names: readonly string[]): string | undefined =>
    names
      .flatMap((name) => [...fields].filter((field) => field.toLowerCase() === name))
      .find((field) => !isList(examples, field) || names === commonCaptionNames);
  const image = find('image', named.image ?? usual(commonImageNames));
  const label = named.label === undefined ? undefined : find('label', named.label);
  let captions: string[] = [];
  if (named.caption === undefined) {
    const found = usual(commonCaptionNames);
    // The captions of images with a class can be made of it.
    if (found !== undefined || label === undefined) captions = [find('caption', found)];
  } else if (named.caption !== 'none' || fields.has('none')) {
    const whole = fields.has(named.caption) ? [named.caption] : named.caption.split(',');
    captions = whole.map((name) => find('caption', name.trim()));
  }
  return { image, captions, ...(label !== undefined && { label }) };
}

function isList(examples: readonly JsonObject[], field: string): boolean {
  return examples.some((object) => Array.isArray(object[field]));
}

/** Fields of an object, those of its objects with a dot. */
function fieldsOf(object: JsonObject, depth = 0): string[] {
  return Object.entries(object).flatMap(([name, value]) => {
    const [member] = Array.isArray(value) ? (value as unknown[]) : [value];
    return depth < 2 && isObject(member)
      ? [name, ...fieldsOf(member, depth + 1).map((inner) => `${name}.${inner}`)]
      : [name];
  });
}

/** Reads an object by the fields' roles. */
export function interpretObject(object: JsonObject, fields: JsonFields): InterpretedObject {
  const [image] = valuesAt(object, fields.image).flatMap((value) => pathsOf(value));
  if (image === undefined) return { leftOut: 'without an image' };
  const { label, isUnknown } = labelOf(object, fields);
  const written = fields.captions.flatMap((field) => captionsAt(object, field));
  const captions =
    fields.captions.length === 0 && label !== undefined ? promptsOf(label) : [...new Set(written)];
  const wanted = fields.captions.length > 0 || fields.label !== undefined;
  const unknown = 'with a label that the list of classes lacks';
  if (captions.length === 0 && wanted)
    return { leftOut: isUnknown ? unknown : 'without a caption' };
  if ([image, ...captions].some((text) => text.includes('\0'))) {
    return { leftOut: 'with NUL characters' };
  }
  const used = new Set([fields.image, fields.label, ...fields.captions].map((path) => top(path)));
  const meta = Object.entries(object).flatMap(([name, value]): [string, string][] => {
    if (used.has(name)) return [];
    const text = scalarText(value);
    return text === undefined ? [] : [[name, text]];
  });
  return {
    row: { image, captions, ...(label !== undefined && { label }), meta: Object.fromEntries(meta) },
    ...(isUnknown && { changed: `${unknown}: read as none` }),
  };
}

function top(path: string | undefined): string {
  const [first = ''] = (path ?? '').split('.');
  return first;
}

function pathsOf(value: unknown): string[] {
  if (typeof value === 'string') return value.trim() === '' ? [] : [value.trim()];
  return isObject(value)
    ? commonImageNames.flatMap((name) => pathsOf(value[name])).slice(0, 1)
    : [];
}

function captionsAt(object: JsonObject, field: string): string[] {
  return valuesAt(object, field).flatMap((value) =>
    isObject(value)
      ? (['raw', ...commonCaptionNames]
          .map((name) => textsOf(value[name]))
          .find(({ length }) => length > 0) ?? [])
      : textsOf(value),
  );
}

/** The label of an object; −1 stands for none where classes are counted, as in test sets of `datasets`. */
function labelOf(
  object: JsonObject,
  { label: field, classes }: JsonFields,
): { label: string | undefined; isUnknown: boolean } {
  const [text] = field === undefined ? [] : textsOf(valuesAt(object, field));
  if (text === undefined || classes === undefined || !/^-?\d+$/.test(text)) {
    return { label: text, isUnknown: false };
  }
  const label = classes[Number(text)];
  return { label, isUnknown: label === undefined && text !== '-1' };
}

/** A scalar as text, and a list of scalars with commas between; undefined for other values. */
function scalarText(value: unknown): string | undefined {
  if (['string', 'number', 'boolean', 'bigint'].includes(typeof value)) return String(value);
  if (!Array.isArray(value)) return undefined;
  const members = value.map(scalarText);
  return members.every((member) => member !== undefined) ? members.join(', ') : undefined;
}
