import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { parquetMetadata, parquetSchema, type SchemaTree } from 'hyparquet';
import { parquetHeader, readPage } from 'hyparquet/src/column.js';
import { convert, DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import { at } from '../../../base/at.js';
import { BantamError } from '../../../base/errors.js';
import { causeOf } from '../../../base/system-error.js';
import { compressors, type PageDecoder } from '../../images/parquet-codecs.js';

type Metadata = ReturnType<typeof parquetMetadata>;
type Values = NonNullable<ReturnType<typeof readPage>['data']>;
type PageHeader = ReturnType<typeof parquetHeader>;

/** The values of a page. */
export type PageValues = ArrayLike<unknown> & Iterable<unknown>;

/** A longer footer belongs to no data set. */
const mostFooter = 2 ** 29;
/** A page's header, first tried with so many bytes. */
const headerBytes = 2 ** 13;

/** A longer page of texts would take several times its bytes, all at once. */
const mostText = 2 ** 28;

/** A column whose values are no lists and no structures, by its path in the schema. */
export interface Leaf {
  readonly path: readonly string[];
  readonly schemaPath: SchemaTree[];
  readonly element: PageDecoder['element'];
}

/** A page of a column: its byte range, and the rows of the row group in it. */
export interface Page {
  readonly offset: number;
  readonly length: number;
  readonly header: PageHeader;
  readonly rows: number;
  readonly isDictionary: boolean;
}

/** A Parquet file that is read page by page: only its footer is kept. */
export class ParquetFile {
  readonly size: number;
  readonly modified: number;
  readonly metadata: Metadata;
  readonly schema: SchemaTree;

  /**
   * @param longestText - Bytes of the longest page of texts that is read
   * @throws BantamError if the file cannot be read, is no Parquet file, or is cut off.
   */
  constructor(
    readonly path: string,
    readonly longestText = mostText,
  ) {
    let file: number;
    try {
      file = openSync(path, 'r');
    } catch (error) {
      throw new BantamError(
        `The Parquet file "${path}" cannot be read (${causeOf(error)}); name existing files after "parquet:".`,
      );
    }
    try {
      const found = fstatSync(file);
      if (found.isDirectory()) throw new BantamError(`"${path}" is a folder, not a Parquet file.`);
      this.size = found.size;
      this.modified = found.mtimeMs;
      this.metadata = readFooter(path, file, this.size);
      this.schema = parquetSchema(this.metadata);
    } finally {
      closeSync(file);
    }
  }

  get rows(): number {
    return Number(this.metadata.num_rows);
  }

  /** The pages of a column in a row group, by their headers alone. */
  *pages(group: number, leaf: Leaf): Generator<Page, void, undefined> {
    const chunk = this.chunk(group, leaf);
    const dictionary = Number(chunk.dictionary_page_offset ?? 0);
    const data = Number(chunk.data_page_offset);
    let offset = dictionary > 0 ? Math.min(dictionary, data) : data;
    const end = offset + Number(chunk.total_compressed_size);
    if (end > this.size) throw this.#damage(`its column ${leaf.path.join('.')} ends at ${end}`);
    const file = openSync(this.path, 'r');
    try {
      while (offset < end) {
        const { header, length } = this.#header(file, offset, end);
        const count = header.data_page_header ?? header.data_page_header_v2;
        const isDictionary = header.type === 'DICTIONARY_PAGE';
        if (count !== undefined || isDictionary) {
          yield { offset, length, header, rows: count?.num_values ?? 0, isDictionary };
        }
        offset += length;
      }
    } finally {
      closeSync(file);
    }
  }

  /** The bytes of a column's values, page by page, and the rows of each page that have none. */
  *rawValues(
    group: number,
    leaf: Leaf,
  ): Generator<{ values: PageValues; empty: ReadonlySet<number> }, void, undefined> {
    for (const values of this.values(group, leaf, { utf8: false })) {
      const empty = new Set<number>();
      for (let row = 0; row < values.length; row++) {
        let value = values[row];
        while (Array.isArray(value)) [value] = value as unknown[];
        if (!(value instanceof Uint8Array) || value.length === 0) empty.add(row);
      }
      yield { values, empty };
    }
  }

  /** The values of a column in a row group, page by page; null where there is none. */
  *values(
    group: number,
    leaf: Leaf,
    { utf8 = true }: { utf8?: boolean } = {},
  ): Generator<PageValues, void, undefined> {
    const { codec, type } = this.chunk(group, leaf);
    const { schemaPath, element } = leaf;
    const decoder: PageDecoder = {
      ...{ pathInSchema: [...leaf.path], schemaPath, element, codec, type, compressors, utf8 },
      parsers: DEFAULT_PARSERS,
    };
    let dictionary: Values | undefined;
    for (const page of this.pages(group, leaf)) {
      const { uncompressed_page_size: size } = page.header;
      if (utf8 && size > this.longestText) {
        throw new BantamError(
          `The column "${leaf.path.join('.')}" of "${this.path}" has ${Math.round(size / 2 ** 20)} MiB of text in one page, and more than ${Math.round(this.longestText / 2 ** 20)} MiB are not read at once; write shorter texts, or smaller pages (data_page_size).`,
        );
      }
      const bytes = this.read(page.offset, page.length);
      const reader = { view: new DataView(bytes.buffer), offset: 0 };
      let data: Values;
      try {
        data =
          readPage(reader, parquetHeader(reader), decoder, dictionary, undefined, 0).data ?? [];
        if (page.isDictionary) dictionary = convert(data, decoder);
      } catch (error) {
        throw this.#damage(causeOf(error));
      }
      if (!page.isDictionary) yield data;
    }
  }

  /** Bytes of the file in memory of their own. */
  read(offset: number, length: number): Uint8Array<ArrayBuffer> {
    const file = openSync(this.path, 'r');
    try {
      return readRange(this.path, file, { offset, length });
    } finally {
      closeSync(file);
    }
  }

  /** The file as hyparquet reads it. */
  get buffer(): { byteLength: number; slice: (start: number, end?: number) => ArrayBuffer } {
    return {
      byteLength: this.size,
      slice: (start, end = this.size) => this.read(start, end - start).buffer,
    };
  }

  chunk(group: number, { path }: Pick<Leaf, 'path'>) {
    const name = path.join('.');
    const { columns } = at(this.metadata.row_groups, group);
    const chunk = columns.find(({ meta_data }) => meta_data?.path_in_schema.join('.') === name);
    if (chunk?.meta_data === undefined || chunk.file_path !== undefined) {
      throw this.#damage(`its row group ${group} has no column "${name}"`);
    }
    return chunk.meta_data;
  }

  #header(file: number, offset: number, end: number): { header: PageHeader; length: number } {
    for (let most = headerBytes; ; most *= 16) {
      const length = Math.min(most, end - offset);
      const bytes = readRange(this.path, file, { offset, length });
      const reader = { view: new DataView(bytes.buffer), offset: 0 };
      try {
        const header = parquetHeader(reader);
        const whole = reader.offset + header.compressed_page_size;
        if (whole > 0 && offset + whole <= end && header.uncompressed_page_size >= 0) {
          return { header, length: whole };
        }
      } catch {
        // The header may be longer.
      }
      if (length === end - offset) throw this.#damage(`there is no page at byte ${offset}`);
    }
  }

  #damage(why: string): BantamError {
    return new BantamError(`The Parquet file "${this.path}" is damaged: ${why}; write it anew.`);
  }
}

function readFooter(path: string, file: number, size: number): Metadata {
  const advice = 'get it again, or write it anew';
  if (size < 12) throw new BantamError(`"${path}" has ${size} bytes and is no Parquet file.`);
  const mark = (offset: number): string =>
    Buffer.from(readRange(path, file, { offset, length: 4 })).toString('latin1');
  if (mark(0) === 'PARE' || mark(size - 4) === 'PARE') {
    throw new BantamError(`The Parquet file "${path}" is encrypted; write it without encryption.`);
  }
  if (mark(0) !== 'PAR1') {
    throw new BantamError(`"${path}" is no Parquet file; its first bytes are not "PAR1".`);
  }
  const length = new DataView(
    readRange(path, file, { offset: size - 8, length: 4 }).buffer,
  ).getUint32(0, true);
  if (mark(size - 4) !== 'PAR1' || length + 12 > size || length > mostFooter) {
    throw new BantamError(
      `The Parquet file "${path}" is cut off: its end, where the list of columns is, is missing; ${advice}.`,
    );
  }
  try {
    const { buffer } = readRange(path, file, { offset: size - 8 - length, length: length + 8 });
    return parquetMetadata(buffer, { geoparquet: false });
  } catch (error) {
    const reason = causeOf(error);
    throw new BantamError(`The Parquet file "${path}" is damaged (${reason}); ${advice}.`);
  }
}

function readRange(
  path: string,
  file: number,
  { offset, length }: { readonly offset: number; readonly length: number },
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const count = readSync(file, bytes, done, length - done, offset + done);
    if (count === 0) throw new BantamError(`The Parquet file "${path}" ends at ${offset + done}.`);
    done += count;
  }
  return bytes;
}
