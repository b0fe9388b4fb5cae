import { BantamError } from 'bantam/portable';
import { fetchBytes, type OnDownload } from './fetch-files.js';
import { ImageIndex } from './image-index.js';
import type { SearchIndex } from './types.js';

interface Described {
  readonly dtype?: unknown;
  readonly shape?: unknown;
  readonly data_offsets?: unknown;
}

/** `bantam embed` writes safetensors: u64 length, a JSON header, the tensors' bytes. */
interface Header {
  readonly __metadata__?: Readonly<Record<string, string>>;
  readonly image?: Described;
}

/** {@link readIndex} of a file on the server. */
export async function loadIndex(url: string | URL, onDownload?: OnDownload): Promise<SearchIndex> {
  const file = new URL(url, globalThis.location.href);
  return readIndex(await fetchBytes(file, onDownload), file.href);
}

/**
 * The images of an embedding file that `bantam embed` wrote, to be searched.
 *
 * @throws BantamError if the file is damaged, or none of images with keys.
 */
export function readIndex(bytes: Uint8Array, name: string): SearchIndex {
  const { header, start } = readHeader(bytes, name);
  const { dtype, shape, data_offsets: offsets } = header.image ?? {};
  const [rows, width] = numbers(shape, 2);
  const [begin, end] = numbers(offsets, 2);
  const keys = parseKeys(header.__metadata__?.keys);
  const isWhole =
    rows !== undefined &&
    width !== undefined &&
    begin !== undefined &&
    end !== undefined &&
    dtype === 'F32' &&
    end - begin === rows * width * 4 &&
    start + end <= bytes.length;
  if (!isWhole || keys?.length !== rows) {
    throw new BantamError(
      `${name} does not hold embedded images with their keys; make it with "bantam embed".`,
    );
  }
  // A copy: the header may leave the numbers at an offset that Float32Array does not take.
  const features = new Float32Array(rows * width);
  new Uint8Array(features.buffer).set(bytes.subarray(start + begin, start + end));
  if (!features.every(Number.isFinite)) {
    throw new BantamError(`${name} holds numbers that are not finite; embed the images anew.`);
  }
  return new ImageIndex({ keys, features, width });
}

function readHeader(bytes: Uint8Array, name: string): { header: Header; start: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = bytes.length < 8 ? Infinity : Number(view.getBigUint64(0, true));
  if (length > bytes.length - 8) {
    throw new BantamError(`${name} is not a whole safetensors file; fetch or make it again.`);
  }
  try {
    const text = new TextDecoder().decode(bytes.subarray(8, 8 + length));
    return { header: JSON.parse(text) as Header, start: 8 + length };
  } catch {
    throw new BantamError(`${name} is not a safetensors file; make it with "bantam embed".`);
  }
}

function numbers(value: unknown, count: number): readonly number[] {
  const list = Array.isArray(value) ? (value as unknown[]) : [];
  const whole = list.filter((item): item is number => Number.isSafeInteger(item));
  return whole.length === count && list.length === count ? whole : [];
}

function parseKeys(text: string | undefined): string[] | undefined {
  try {
    const keys = JSON.parse(text ?? 'null') as unknown;
    return Array.isArray(keys) ? keys.map(String) : undefined;
  } catch {
    return undefined;
  }
}
