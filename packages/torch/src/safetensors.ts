/** Tensors in safetensors files. */
import { writeFileAtomic } from './atomic-file.js';
import { dtypeBytes, type DType } from './dtype.js';
import { TorchError } from './errors.js';
import { mapFile, viewRegion } from './mapped-file.js';
import { native } from './native.js';
import { encodeHeader, inFileOrder, readSafetensorsHeader } from './safetensors-header.js';
import { scope } from './scope.js';
import { Tensor } from './tensor.js';

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

/** A tensor that is made part by part while it is written, so that it never has to be in memory whole. */
export interface TensorParts {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** The elements in row-major order, in tensors of this type. */
  readonly parts: () => Iterable<Tensor>;
}

/**
 * Writes tensors to a safetensors file, whole or not at all (see {@link writeFileAtomic}), one
 * after the other, in the order and alignment of the format's reference implementation.
 *
 * @throws TorchError when the file cannot be written, a tensor is named `__metadata__`, or its parts have
 * not as many elements as its shape.
 */
export function saveSafetensors(
  path: string,
  tensors: ReadonlyMap<string, Tensor | TensorParts>,
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
    for (const { name, tensor, dtype, shape } of ordered) {
      let left = shape.reduce((product, length) => product * length, dtypeBytes(dtype));
      for (const part of tensor instanceof Tensor ? [tensor] : tensor.parts()) {
        const bytes = new Uint8Array(native.copyToBuffer(part.handle));
        left -= bytes.length;
        yield bytes;
      }
      if (left === 0) continue;
      throw new TorchError(
        `The parts of '${name}' do not make up its shape; ${path} was not written.`,
      );
    }
  }
  writeFileAtomic(path, chunks());
}
