import { at } from '../../../base/at.js';
import type { ImageLocation } from '../../images/location.js';
import type { Leaf, ParquetFile } from './parquet-file.js';

interface ImagePage {
  /** Row of the file that it starts with. */
  readonly first: number;
  readonly offset: number;
  readonly length: number;
  readonly dictionary?: { readonly offset: number; readonly length: number };
  readonly codec: string;
  /** Rows of the page without an image. */
  readonly empty?: ReadonlySet<number>;
}

/** Locations of the images within a Parquet file: its pages are found by their headers. */
export class ImagePages {
  /** Bytes of the largest decompressed page. */
  readonly largest: number;
  readonly #pages: readonly ImagePage[];
  readonly #repetition: readonly string[];

  constructor(
    readonly file: ParquetFile,
    leaf: Leaf,
  ) {
    const pages: ImagePage[] = [];
    let first = 0;
    let largest = 0;
    for (let group = 0; group < file.metadata.row_groups.length; group++) {
      const { codec, statistics } = file.chunk(group, leaf);
      const isFull = statistics?.null_count === 0n;
      let dictionary: ImagePage['dictionary'];
      for (const { offset, length, header, rows, isDictionary } of file.pages(group, leaf)) {
        largest = Math.max(largest, header.uncompressed_page_size);
        if (isDictionary) {
          dictionary = { offset, length };
          continue;
        }
        pages.push({ first, offset, length, codec, ...(dictionary && { dictionary }) });
        first += rows;
      }
      if (isFull) continue;
      markEmpty(file, { group, leaf, pages });
    }
    this.#pages = pages;
    this.largest = largest;
    this.#repetition = leaf.schemaPath
      .slice(1)
      .map(({ element }) => element.repetition_type ?? 'OPTIONAL');
  }

  /** Location of a row's image; undefined if it has none. */
  location(row: number): ImageLocation | undefined {
    let low = 0;
    let high = this.#pages.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (at(this.#pages, middle).first <= row) low = middle;
      else high = middle;
    }
    const { first, offset, length, codec, dictionary, empty } = at(this.#pages, low);
    if (empty?.has(row - first) === true) return undefined;
    const page = { codec, repetition: this.#repetition, row: row - first };
    return {
      path: this.file.path,
      range: { offset, length },
      page: { ...page, ...(dictionary && { dictionary }) },
    };
  }
}

/** Finds the rows without an image in the pages of a row group, which are the last ones. */
function markEmpty(
  file: ParquetFile,
  { group, leaf, pages }: { group: number; leaf: Leaf; pages: ImagePage[] },
): void {
  const marked = [...file.rawValues(group, leaf)].map(({ empty }) => empty);
  const start = pages.length - marked.length;
  for (const [i, empty] of marked.entries()) {
    if (empty.size > 0) pages[start + i] = { ...at(pages, start + i), empty };
  }
}
