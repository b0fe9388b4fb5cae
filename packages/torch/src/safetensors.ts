/** Tensors in safetensors files. */
import { writeFileAtomic } from './atomic-file.js';
import { TorchError } from './errors.js';
import { mapFile, viewRegion } from './mapped-file.js';
import { native } from './native.js';
import { encodeHeader, inFileOrder, readSafetensorsHeader } from './safetensors-header.js';
import { scope } from './scope.js';
import type { Tensor } from './tensor.js';

export {
  readSafetensorsHeader,
  type SafetensorsEntry,
  type SafetensorsHeader,
} from './safetensors-header.js';

/** Result of {@link loadSafetensors}. */
export interface LoadedSafetensors {
  /** In the order of the file's header. */
  tensors: Map<string, Tensor>;
  metadata: Readonly<Record<string, string>>;
}

/**
 * Opens a safetensors file. The tensors are views of the mapped file: nothing is read until it is
 * used, and writing to a tensor changes memory only, never the file.
 *
 * @throws TorchError when the file cannot be read or is damaged.
 */
export function loadSafetensors(path: string): LoadedSafetensors {
  const { entries, metadata, fileBytes } = readSafetensorsHeader(path);
  const tensors = scope(() => {
    const file = mapFile(path, fileBytes);
    return new Map([...entries].map(([name, entry]) => [name, viewRegion(file, entry)]));
  });
  return { tensors, metadata };
}

/** Options of {@link saveSafetensors}. */
export interface SaveSafetensorsOptions {
  metadata?: Readonly<Record<string, string>>;
}

/**
 * Writes tensors to a safetensors file, whole or not at all (see {@link writeFileAtomic}), one
 * after the other, in the order and alignment of the format's reference implementation.
 *
 * @throws TorchError when the file cannot be written, or a tensor is named `__metadata__`.
 */
export function saveSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  { metadata = {} }: SaveSafetensorsOptions = {},
): void {
  if (tensors.has('__metadata__')) {
    throw new TorchError(`A tensor of ${path} is named '__metadata__'; choose another name.`);
  }
  const ordered = inFileOrder(
    [...tensors].map(([name, tensor]) => ({
      name,
      tensor,
      dtype: tensor.dtype,
      shape: tensor.shape,
    })),
  );
  function* chunks(): Iterable<Uint8Array> {
    yield encodeHeader(ordered, metadata);
    for (const { tensor } of ordered) yield new Uint8Array(native.copyToBuffer(tensor.handle));
  }
  writeFileAtomic(path, chunks());
}
