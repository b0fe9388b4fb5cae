import { dirname } from 'node:path';
import { BantamError } from '../../../base/errors.js';
import { isObject } from '../../../base/schema.js';
import { causeOf } from '../../../base/system-error.js';
import { readClassNames } from '../class-files.js';
import { NoteBook } from '../notes.js';
import type { OpenProgress, Source } from '../source.js';
import { checkQuery, type SourceSpec } from '../spec.js';
import { openRows, type RowTable, type ScannedRow, type TableRow } from './indexed-source.js';
import { findFields, interpretObject, type JsonFields } from './json-row.js';
import type { RowLocation } from './row-index.js';
import { noteCaptions } from './table-columns.js';
import { memoryText, openText, type TextBytes } from './text-bytes.js';
import { LineReader } from './text-lines.js';

/** Objects that are looked at to find the fields. */
const firstObjects = 200;
/** A file that is one JSON list is read whole, up to this size. */
const mostListed = 2 ** 29;

/**
 * Opens a file with a JSON object in each line, or one JSON list of objects: `jsonl:pairs.jsonl`.
 * Query, all optional: `image`, `caption` and `label` name fields, by dotted paths where they are
 * nested (`caption=texts.en`); `caption` may name several with commas between, and a field may hold a
 * list of texts; `caption=none` takes images alone. `images` is the folder that image paths are
 * relative to, the file's own by default; `classes` a file of class names for labels that are numbers.
 * The other fields that are texts or numbers become metadata.
 *
 * Lines that are no objects, and objects without an image or a caption, are left out with a note.
 */
export async function openJsonl(
  spec: SourceSpec,
  { onOpen }: { onOpen?: OpenProgress } = {},
): Promise<Source> {
  checkQuery(spec, ['image', 'caption', 'label', 'images', 'classes', 'encoding']);
  const { path, text, query } = spec;
  const notes = new NoteBook();
  const bytes = listAsLines(openText(path, query.get('encoding'), spec.kind), path);
  if (bytes.note !== undefined) notes.info(bytes.note);
  const named = {
    image: query.get('image'),
    caption: query.get('caption'),
    label: query.get('label'),
  };
  const fields = findFields(firstOf(bytes, path), named, path);
  const classFile = query.get('classes');
  const classes = classFile === undefined ? undefined : await readClassNames(classFile, notes);
  const table = new JsonTable(path, bytes, { ...fields, ...(classes && { classes }) });
  const folder = query.get('images') ?? dirname(path);
  return openRows(table, { spec: text, path, folder, notes, onOpen });
}

/** A table with a JSON object in each line. */
class JsonTable implements RowTable {
  readonly size: number;

  constructor(
    readonly path: string,
    readonly bytes: TextBytes,
    readonly fields: JsonFields,
  ) {
    this.size = bytes.size;
  }

  *scan(notes: NoteBook): Generator<ScannedRow, void, undefined> {
    noteCaptions(this.fields.captions.length, this.fields.label !== undefined, notes);
    for (const { offset, length, number, object, isWindows1252 } of objectLines(
      this.bytes,
      this.path,
    )) {
      const where = `line ${number}`;
      if (isWindows1252) notes.changed('line', 'not in UTF-8: read as Windows-1252', where);
      if (object === undefined) {
        notes.leftOut('line', 'without a JSON object', where);
        continue;
      }
      const found = interpretObject(object, this.fields);
      if ('leftOut' in found) {
        notes.leftOut('row', found.leftOut, where);
        continue;
      }
      if (found.changed !== undefined) notes.changed('row', found.changed, where);
      yield { offset, length, line: number, row: found.row };
    }
  }

  row({ offset, length }: RowLocation): TableRow {
    const text = this.bytes.decode(this.bytes.read(offset, length))?.text;
    const object = text === undefined ? undefined : parseObject(text);
    const found = object === undefined ? undefined : interpretObject(object, this.fields);
    if (found === undefined || 'leftOut' in found) {
      throw new BantamError(`"${this.path}" has changed since it was opened; start again.`);
    }
    return found.row;
  }
}

interface ObjectLine extends RowLocation {
  readonly number: number;
  readonly object: Readonly<Record<string, unknown>> | undefined;
  readonly isWindows1252: boolean;
}

function* objectLines(bytes: TextBytes, path: string): Generator<ObjectLine, void, undefined> {
  const reader = new LineReader(bytes, path);
  for (let line = reader.next(); line !== undefined; line = reader.next()) {
    const { offset, length, number } = line;
    const decoded = bytes.decode(reader.slice(offset, length));
    const text = decoded?.text ?? '';
    if (decoded !== undefined && text.trim() === '') continue;
    const isWindows1252 = decoded?.isWindows1252 ?? false;
    yield { offset, length, number, object: parseObject(text), isWindows1252 };
  }
}

/** The first objects of a file. */
function firstOf(bytes: TextBytes, path: string): Readonly<Record<string, unknown>>[] {
  const found: Readonly<Record<string, unknown>>[] = [];
  for (const { object } of objectLines(bytes, path)) {
    if (object !== undefined && found.push(object) === firstObjects) break;
  }
  if (found.length > 0) return found;
  throw new BantamError(
    `"${path}" holds no JSON objects, such as {"image": "a.jpg", "caption": "a dog"} in each line.`,
  );
}

/**
 * A JSON object. What JSON does not have is read in its meaning: Python's NaN and Infinity as null, and
 * commas behind the last member, or behind the object as in a list.
 */
function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  for (const attempt of [() => text, () => asJson(text.replace(/,\s*$/, ''))]) {
    try {
      const value: unknown = JSON.parse(attempt());
      return isObject(value) ? value : undefined;
    } catch {
      // The next attempt, or no object.
    }
  }
  return undefined;
}

/** @throws SyntaxError of the unchanged text, if it is no JSON in spite of what {@link asJson} mends. */
function parseList(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    try {
      return JSON.parse(asJson(text));
    } catch {
      throw error;
    }
  }
}

function asJson(text: string): string {
  return text.replaceAll(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b|,(?=\s*[}\]])/g, (token) =>
    token.startsWith('"') ? token : token === ',' ? '' : 'null',
  );
}

/** A file that is one JSON list, with a line for each member; another one unchanged. */
function listAsLines(bytes: TextBytes, path: string): TextBytes {
  const start = bytes.decode(Buffer.from(bytes.read(0, 256)))?.text.replace(/^\ufeff/, '') ?? '';
  if (!start.trimStart().startsWith('[')) return bytes;
  if (bytes.size > mostListed) {
    throw new BantamError(
      `"${path}" is one JSON list of ${Math.round(bytes.size / 2 ** 20)} MiB; write it with an object in each line, as "jq -c '.[]'" does.`,
    );
  }
  let list: unknown;
  try {
    const text = bytes.decode(Buffer.from(bytes.read(0, bytes.size)))?.text ?? '';
    list = parseList(text.replace(/^\ufeff/, ''));
  } catch (error) {
    throw new BantamError(
      `"${path}" is not JSON (${causeOf(error)}); repair it, or write an object in each line.`,
    );
  }
  const members: unknown[] = Array.isArray(list) ? list : [];
  return memoryText(members.map((member) => JSON.stringify(member)).join('\n'));
}
