import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import type { readPage } from 'hyparquet/src/column.js';
import { DEFAULT_PARSERS } from 'hyparquet/src/convert.js';
import { compressors as portable, decompressZstd } from 'hyparquet-compressors';

/** Description of a column by which its pages are decoded. */
export type PageDecoder = Parameters<typeof readPage>[2];

/** A page that claims more bytes is refused: pages of real files have about a MiB. */
const mostPageBytes = 2 ** 30;

function bounded(length: number): number {
  if (length >= 0 && length <= mostPageBytes) return length;
  throw new Error(`a page of ${length} bytes, more than ${mostPageBytes}`);
}

/** The decompressors of all codecs but LZO, none of which writes more than the page's length. */
export const compressors: NonNullable<PageDecoder['compressors']> = {
  ...portable,
  GZIP: (input, length) => gunzipSync(input, { maxOutputLength: Math.max(1, bounded(length)) }),
  BROTLI: (input, length) =>
    brotliDecompressSync(input, { maxOutputLength: Math.max(1, bounded(length)) }),
  ZSTD: (input, length) => decompressZstd(input, new Uint8Array(bounded(length))),
  SNAPPY: (input, length) => uncompress('SNAPPY', input, length),
  LZ4: (input, length) => uncompress('LZ4', input, length),
  LZ4_RAW: (input, length) => uncompress('LZ4_RAW', input, length),
};

function uncompress(
  codec: 'SNAPPY' | 'LZ4' | 'LZ4_RAW',
  input: Uint8Array,
  length: number,
): Uint8Array {
  const decompress = portable[codec];
  if (decompress === undefined) throw new Error(`no decompressor for ${codec}`);
  return decompress(input, bounded(length));
}

/** The decoder of a column of bytes, not repeated, whose values stay bytes. */
export function byteColumn({
  codec,
  repetition,
}: {
  readonly codec: string;
  readonly repetition: readonly string[];
}): PageDecoder {
  const path = ['', ...repetition];
  const schemaPath = path.map((type, depth) => ({
    children: [],
    count: 1,
    element: {
      name: String(depth),
      type: 'BYTE_ARRAY' as const,
      repetition_type: type === 'REQUIRED' || type === '' ? 'REQUIRED' : 'OPTIONAL',
    } satisfies PageDecoder['element'],
    path: [],
  }));
  const element = schemaPath.at(-1)?.element ?? { name: '', type: 'BYTE_ARRAY' as const };
  return {
    pathInSchema: [],
    type: 'BYTE_ARRAY',
    element,
    schemaPath,
    codec: codec as PageDecoder['codec'],
    parsers: DEFAULT_PARSERS,
    compressors,
    utf8: false,
  };
}
