import { dirname } from 'node:path';
import { at } from '../../../base/at.js';
import { BantamError } from '../../../base/errors.js';
import { promptsOf, textsOf } from '../captions.js';
import { parseRow, type CsvRow } from './csv.js';
import { openRows, type RowTable, type ScannedRow, type TableRow } from './indexed-source.js';
import type { NoteBook } from '../notes.js';
import type { RowLocation } from './row-index.js';
import { checkQuery, type SourceSpec } from '../spec.js';
import type { OpenProgress, Source } from '../source.js';
import { openText, type TextBytes } from './text-bytes.js';
import { columnsOf, noteCaptions, type Columns } from './table-columns.js';
import { LineReader, type TextLine } from './text-lines.js';

/** Separators that are tried if the usual one finds no columns. */
const commonSeparators = [',', '\t', ';', '|'];

const separatorNames: ReadonlyMap<string, string> = new Map([
  ['tab', '\t'],
  ['\\t', '\t'],
  ['comma', ','],
  ['semicolon', ';'],
  ['pipe', '|'],
]);

/** A quoted cell that is longer, or spans more lines, has no closing quote. */
const mostCell = { bytes: 2 ** 20, lines: 10_000 };

/**
 * Opens a table of images and captions with a header row: `csv:pairs.csv`, `tsv:pairs.tsv`. Query, all
 * optional: `image`, `caption` and `label` name columns, `caption` several with commas between, or
 * `none`; `images` is the folder that image paths are relative to, the table's own by default; `sep` is the separator (a tab for `tsv:` and
 * `.tsv`, else a comma; found by the header if these give no columns); `quote=none` reads quotes as
 * text; `encoding` names the encoding. An image may have several rows, or a JSON list of texts in its caption column, for several captions; the other columns
 * become metadata.
 *
 * Rows without an image or a caption, and rows that are longer than the header, are left out with a
 * note that names their lines. If the caption is the last column, it takes the rest of a longer row.
 */
export async function openTable(
  spec: SourceSpec,
  { onOpen }: { onOpen?: OpenProgress } = {},
): Promise<Source> {
  checkQuery(spec, ['image', 'caption', 'label', 'images', 'sep', 'quote', 'encoding']);
  const { path, text, query } = spec;
  const table = new CsvTable(spec, openText(path, query.get('encoding'), spec.kind));
  const folder = query.get('images') ?? dirname(path);
  return openRows(table, { spec: text, path, folder, onOpen });
}

/** A row of cells as a record's row, or the reason why it is left out; and how it was mended. */
interface Interpreted {
  readonly row?: TableRow;
  readonly leftOut?: string;
  readonly changed?: string;
}

class CsvTable implements RowTable {
  readonly size: number;
  readonly #path: string;
  readonly #bytes: TextBytes;
  readonly #quotes: boolean;
  readonly #separator: string;
  readonly #columns: Columns;
  readonly #reader: LineReader;
  readonly #info: string[] = [];

  constructor(spec: SourceSpec, bytes: TextBytes) {
    const { path, query } = spec;
    this.#path = path;
    this.#bytes = bytes;
    this.size = bytes.size;
    if (bytes.note !== undefined) this.#info.push(bytes.note);
    const quote = query.get('quote');
    if (quote !== undefined && quote !== 'none') {
      throw new BantamError(
        `"quote" of "${spec.text}" is "${quote}"; it can only be "none", for quotes that are text.`,
      );
    }
    this.#quotes = quote !== 'none';
    this.#reader = new LineReader(bytes, path);
    let line = this.#nextFilled();
    let named = query.get('sep');
    named = separatorNames.get(named ?? '') ?? named;
    // Excel writes the separator as a first line of its own.
    const stated = line && /^"?sep=(.)"?$/.exec(this.#decode(line).text)?.[1];
    if (stated !== undefined) {
      named ??= stated;
      line = this.#nextFilled();
    }
    if (named !== undefined && named.length !== 1) {
      throw new BantamError(
        `The separator "${named}" of "${spec.text}" is not one character; it is one, or tab, comma, semicolon or pipe.`,
      );
    }
    const isTabbed = spec.kind === 'tsv' || /\.(tsv|tab)$/i.test(path);
    const usual = named ?? (isTabbed ? '\t' : ',');
    const others = named === undefined ? commonSeparators.filter((sep) => sep !== usual) : [];
    const read = (separator: string): Columns => {
      const { cells } =
        line === undefined ? { cells: [] } : this.#readRow(line, separator, undefined).parsed;
      return columnsOf(spec, cells);
    };
    const { separator, columns } = findColumns([usual, ...others], read);
    this.#separator = separator;
    this.#columns = columns;
    if (separator !== usual) {
      const name = separator === '\t' ? 'tabs' : `"${separator}"`;
      this.#info.push(`The columns of "${path}" are separated by ${name}.`);
    }
    for (const twice of duplicatesOf(columns.header)) {
      this.#info.push(`"${path}" has two columns "${twice}"; the first one is used.`);
    }
  }

  *scan(notes: NoteBook): Generator<ScannedRow, void, undefined> {
    for (const message of this.#info) notes.info(message);
    noteCaptions(this.#columns.captions.length, this.#columns.label >= 0, notes);
    for (let line = this.#nextFilled(); line !== undefined; line = this.#nextFilled()) {
      const where = `line ${line.number}`;
      const { parsed, text, length, isWindows1252 } = this.#readRow(line, this.#separator, notes);
      if (parsed.cells.every((cell) => cell.trim() === '')) continue;
      if (isWindows1252) notes.changed('row', 'not in UTF-8: read as Windows-1252', where);
      const { row, leftOut, changed } = this.#interpret(parsed, text);
      if (changed !== undefined) notes.changed('row', changed, where);
      if (leftOut !== undefined) notes.leftOut('row', leftOut, where);
      if (row !== undefined) yield { offset: line.offset, length, line: line.number, row };
    }
  }

  row({ offset, length }: RowLocation): TableRow {
    const text = this.#bytes.decode(this.#bytes.read(offset, length))?.text ?? '';
    const { row } = this.#interpret(parseRow(text, this.#separator, this.#quotes), text);
    if (row === undefined) {
      throw new BantamError(`"${this.#path}" has changed since it was opened; start again.`);
    }
    return row;
  }

  #nextFilled(): TextLine | undefined {
    for (;;) {
      const line = this.#reader.next();
      if (line === undefined || line.length > 0) return line;
    }
  }

  #decode({ offset, length, number }: Pick<TextLine, 'offset' | 'length' | 'number'>) {
    const decoded = this.#bytes.decode(this.#reader.slice(offset, length));
    if (decoded !== undefined) return decoded;
    throw new BantamError(
      `Line ${number} of "${this.#path}" is neither UTF-8 nor Windows-1252; name the encoding with ?encoding=, such as shift_jis, or save the table as UTF-8.`,
    );
  }

  /** The row that starts on a line; the following lines belong to it while a quote is open. */
  #readRow(line: TextLine, separator: string, notes: NoteBook | undefined) {
    const { offset, number } = line;
    const { text, isWindows1252 } = this.#decode(line);
    const parsed = parseRow(text, separator, this.#quotes);
    const single = { parsed, text, length: line.length, isWindows1252 };
    if (parsed.open < 0) return single;
    let { open } = parsed;
    for (
      let last = this.#reader.next(), lines = 1;
      last !== undefined;
      last = this.#reader.next()
    ) {
      const length = last.offset + last.length - offset;
      if (length > mostCell.bytes || ++lines > mostCell.lines) break;
      if (!this.#reader.slice(last.offset, last.length).includes(34)) continue;
      const longer = this.#decode({ offset, length, number });
      const row = parseRow(longer.text, separator, this.#quotes);
      // The quote is text if other text follows the one that closes it.
      if (row.strays.includes(open) && row.open !== open) break;
      if (row.open >= 0) {
        open = row.open;
        continue;
      }
      this.#refuseSwallowed(longer.text, separator, { from: number, to: last.number });
      return { parsed: row, text: longer.text, length, isWindows1252: longer.isWindows1252 };
    }
    this.#reader.goAfter(line);
    notes?.changed('row', 'with a quote that never closes: read as text', `line ${number}`);
    return single;
  }

  /** Throws if lines within a quoted cell look like rows: a stray quote would have joined them. */
  #refuseSwallowed(
    text: string,
    separator: string,
    { from, to }: { from: number; to: number },
  ): void {
    // The header's own cells may span lines.
    if (!this.#hasColumns()) return;
    const { header, image } = this.#columns;
    const [, ...following] = text.split('\n');
    const isRow = (line: string): boolean => {
      const cells = line.split(separator);
      return cells.length === header.length && /\.\w{3,4}"?\s*$/.test(at(cells, image));
    };
    if (!following.some(isRow)) return;
    throw new BantamError(
      `The quote that opens in line ${from} of "${this.#path}" closes only in line ${to}, and the lines between look like rows; double or remove it, or read quotes as text with ?quote=none.`,
    );
  }

  #hasColumns(): boolean {
    return (this.#columns as Columns | undefined) !== undefined;
  }

  #interpret({ cells: given, starts }: CsvRow, text: string): Interpreted {
    const { header, image, captions: captionColumns, label } = this.#columns;
    const cells = given.map((cell) => cell.trim());
    let changed: string | undefined;
    if (cells.length > header.length && cells.slice(header.length).some((cell) => cell !== '')) {
      const last = header.length - 1;
      if (!captionColumns.includes(last)) return { leftOut: 'longer than the header' };
      cells[last] = text.slice(starts[last]).trim();
      changed = 'longer than the header: the last column takes the rest';
    } else if (cells.length < header.length) {
      changed = 'shorter than the header';
    }
    if (text.includes('\0')) return { leftOut: 'with NUL characters' };
    const cell = (column: number): string => (column < cells.length ? at(cells, column) : '');
    if (cell(image) === '') return { leftOut: 'without an image' };
    const name = label < 0 ? '' : cell(label);
    const written = captionColumns.flatMap((column) => captionsOf(cell(column)));
    const captions =
      captionColumns.length === 0 && name !== '' ? promptsOf(name) : [...new Set(written)];
    const isWanted = captionColumns.length > 0 || label >= 0;
    if (captions.length === 0 && isWanted) return { leftOut: 'without a caption' };
    const meta = new Map<string, string>();
    for (const [column, title] of header.entries()) {
      if (column === image || column === label || captionColumns.includes(column)) continue;
      // Of two columns with one name, the first is used.
      if (title !== '' && header.indexOf(title) === column) meta.set(title, cell(column));
    }
    return {
      row: {
        image: cell(image),
        captions,
        ...(name !== '' && { label: name }),
        meta: Object.fromEntries(meta),
      },
      ...(changed !== undefined && { changed }),
    };
  }
}

/** The first separator by which the header has the columns; else the error of the first. */
function findColumns(
  separators: readonly string[],
  read: (separator: string) => Columns,
): { separator: string; columns: Columns } {
  let failure: unknown;
  for (const separator of separators) {
    try {
      return { separator, columns: read(separator) };
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

function duplicatesOf(names: readonly string[]): string[] {
  return [...new Set(names.filter((name, i) => name !== '' && names.indexOf(name) !== i))];
}

/** A cell's captions: those of a list of texts in JSON or as Python prints it, or the cell. */
function captionsOf(cell: string): string[] {
  const list = cell.startsWith('[') ? (jsonList(cell) ?? pythonList(cell)) : undefined;
  return textsOf(list ?? cell);
}

function jsonList(cell: string): unknown[] | undefined {
  try {
    const list: unknown = JSON.parse(cell);
    return Array.isArray(list) ? list : undefined;
  } catch {
    // Not JSON: a caption may well begin with a bracket.
    return undefined;
  }
}

/** A text in quotes as Python prints it. */
const pythonText = /'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/gs;

/** A list of texts as pandas writes it, `['one', "it's"]`; NumPy's have no commas. */
function pythonList(cell: string): string[] | undefined {
  if (!/^\[.*\]$/s.test(cell)) return undefined;
  const inner = cell.slice(1, -1);
  if (!/^[\s,]*$/.test(inner.replaceAll(pythonText, '')) || !/['"]/.test(inner)) return undefined;
  return Array.from(inner.matchAll(pythonText), ([, single, double]) =>
    (single ?? double ?? '').replaceAll(/\\(.)/gs, (_, character: string) =>
      character === 'n' ? '\n' : character === 't' ? '\t' : character,
    ),
  );
}
