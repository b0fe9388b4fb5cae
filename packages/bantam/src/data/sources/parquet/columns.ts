import { getTreePath, isListLike } from 'hyparquet/src/schema.js';
import type { SchemaTree } from 'hyparquet';
import { isObject } from '../../../base/schema.js';
import { commonImageNames } from '../tables/table-columns.js';
import type { Leaf, ParquetFile } from './parquet-file.js';

/** A column of a Parquet file that becomes a field of its rows. */
export interface RowColumn {
  readonly name: string;
  /** The column itself, or for an image the path within it; absent for lists and structures. */
  readonly leaf?: Leaf;
}

/** Contents of the rows of a Parquet file. */
export interface RowColumns {
  /** Columns of texts, numbers and lists of them. */
  readonly columns: readonly RowColumn[];
  /** Column of the image files, if they are within the file. */
  readonly embedded?: { readonly name: string; readonly leaf: Leaf };
  /** Columns that are left out, as their values are bytes. */
  readonly skipped: readonly string[];
  /** Class names of columns whose numbers count them, as Hugging Face's `ClassLabel`. */
  readonly classes: ReadonlyMap<string, readonly string[]>;
}

/**
 * The columns of a Parquet file by their types. The image may be a path, bytes, or a structure of
 * `bytes` and `path` as Hugging Face's `datasets` writes it.
 *
 * @param image Column of the image, where it was named.
 */
export function rowColumns(file: ParquetFile, image: string | undefined): RowColumns {
  const features = featuresOf(file);
  const columns: RowColumn[] = [];
  const skipped: string[] = [];
  const bytes: { name: string; leaf: Leaf }[] = [];
  for (const child of file.schema.children) {
    const { name } = child.element;
    const inner = (member: string): SchemaTree | undefined =>
      child.children.find(({ element }) => element.name === member);
    const within = inner('bytes');
    const path = inner('path');
    if (within !== undefined && isBytes(file, leafOf(file, within))) {
      bytes.push({ name, leaf: leafOf(file, within) });
      if (path?.children.length === 0) columns.push({ name, leaf: leafOf(file, path) });
    } else if (child.children.length > 0 || child.element.repetition_type === 'REPEATED') {
      if (isListLike(child) && hasBytes(file, child)) skipped.push(name);
      else columns.push({ name });
    } else if (isBytes(file, leafOf(file, child))) {
      bytes.push({ name, leaf: leafOf(file, child) });
    } else {
      columns.push({ name, leaf: leafOf(file, child) });
    }
  }
  const isImage = ({ name }: { name: string }): boolean =>
    image === undefined
      ? features.images.has(name) || commonImageNames.includes(name.toLowerCase())
      : name === image || `${name}.bytes` === image;
  // A single column of bytes is the image, whatever its name.
  const embedded = bytes.find(isImage) ?? (image === undefined ? single(bytes) : undefined);
  for (const { name } of bytes) if (name !== embedded?.name) skipped.push(name);
  return { columns, ...(embedded && { embedded }), skipped, classes: features.classes };
}

function single<T>(list: readonly T[]): T | undefined {
  return list.length === 1 ? list[0] : undefined;
}

function leafOf(file: ParquetFile, { path, element }: SchemaTree): Leaf {
  return { path, element, schemaPath: getTreePath(file.schema, path) };
}

function hasBytes(file: ParquetFile, tree: SchemaTree): boolean {
  return tree.children.length === 0
    ? tree.element.type === 'BYTE_ARRAY' && isUnmarked(tree.element)
    : tree.children.some((child) => hasBytes(file, child));
}

function isUnmarked({ converted_type, logical_type }: SchemaTree['element']): boolean {
  return (
    !['UTF8', 'ENUM', 'JSON', 'DECIMAL'].includes(converted_type ?? '') &&
    !['STRING', 'ENUM', 'JSON', 'DECIMAL'].includes(logical_type?.type ?? '')
  );
}

/** Some writers do not mark texts; the first value tells them from bytes. */
function isBytes(file: ParquetFile, leaf: Leaf): boolean {
  const { element } = leaf;
  if (element.type !== 'BYTE_ARRAY' || !isUnmarked(element)) return false;
  for (let group = 0; group < file.metadata.row_groups.length; group++) {
    for (const { values } of file.rawValues(group, leaf)) {
      for (const listed of values) {
        let value = listed;
        while (Array.isArray(value)) [value] = value as unknown[];
        if (value instanceof Uint8Array && value.length > 0) return !isText(value);
      }
    }
  }
  return true;
}

function isText(bytes: Uint8Array): boolean {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, 4096));
    return !text.includes('\0') && bytes.length < 2 ** 16;
  } catch {
    return false;
  }
}

/** The types of columns that Hugging Face's `datasets` leaves in the file's metadata. */
function featuresOf({ metadata }: ParquetFile): {
  images: ReadonlySet<string>;
  classes: ReadonlyMap<string, readonly string[]>;
} {
  const images = new Set<string>();
  const classes = new Map<string, readonly string[]>();
  const text = metadata.key_value_metadata?.find(({ key }) => key === 'huggingface')?.value;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text ?? '{}');
  } catch {
    parsed = {};
  }
  const info = isObject(parsed) && isObject(parsed.info) ? parsed.info : {};
  for (const [name, feature] of Object.entries(isObject(info.features) ? info.features : {})) {
    if (!isObject(feature)) continue;
    if (feature._type === 'Image') images.add(name);
    const { names } = feature;
    if (feature._type !== 'ClassLabel' || !Array.isArray(names)) continue;
    classes.set(
      name,
      names.filter((className) => typeof className === 'string'),
    );
  }
  return { images, classes };
}
