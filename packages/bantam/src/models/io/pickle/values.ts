/** Values of a pickle: plain data, and descriptions of tensors whose elements are read later. */
import type { DType } from '@bantam/torch';

/** A class or function that a pickle names. It is never looked up, let alone called. */
export class PickledName {
  constructor(
    readonly module: string,
    readonly name: string,
  ) {}

  toString(): string {
    return `${this.module}.${this.name}`;
  }
}

/** Elements of tensors, in a file. */
export class PickledStorage {
  constructor(
    /** Name of the storage within its file. */
    readonly key: string,
    /** Null: the tensors name their element type themselves. */
    readonly dtype: DType | null,
    /** Number of elements, or of bytes if there is no element type. */
    readonly size: number,
  ) {}
}

/** A tensor of a file: which elements of a storage it has. */
export class PickledTensor {
  constructor(
    readonly storage: PickledStorage,
    readonly dtype: DType,
    /** In elements, like the strides. */
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

/** A module of a TorchScript archive. */
export class PickledModule {
  /** Attributes by name. */
  readonly state = new Map<unknown, unknown>();

  constructor(readonly className: PickledName) {}
}

/** Bytes of a storage: a part of the file, or a copy in memory of what is compressed there. */
export type StorageBytes = { readonly start: number; readonly bytes: number } | Uint8Array;

/** Contents of a file of `torch.save` or TorchScript. */
export interface TorchFile {
  readonly path: string;
  /** The object that was saved, with {@link PickledTensor} in place of tensors. */
  readonly value: unknown;
  /** True for an archive of TorchScript. */
  readonly scripted: boolean;
  /** Names of parameters and buffers by class, of a TorchScript archive. */
  readonly members: ReadonlyMap<string, ReadonlySet<string>>;
  /** Size of the file. */
  readonly fileBytes: number;
  /** @throws BantamError if the file does not have the storage. */
  readonly locate: (storage: PickledStorage) => StorageBytes;
}
