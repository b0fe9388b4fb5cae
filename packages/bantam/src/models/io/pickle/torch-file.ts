import {
  at,
  clone,
  dtypeBytes,
  fromTypedArray,
  mapFile,
  narrow,
  Operator,
  reshape,
  viewAs,
  zeros,
  type DType,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { openFile, type RandomAccessFile } from './file.js';
import { readLegacy } from './legacy.js';
import { torchRules } from './rules.js';
import { LARGEST_PICKLE, unpickle } from './unpickle.js';
import type { PickledStorage, PickledTensor, TorchFile } from './values.js';
import { readZipEntries, readZipEntry, type ZipEntry } from './zip.js';

/** True if the first bytes are those of a file of `torch.save` or TorchScript. */
export function isTorchFile(start: Buffer): boolean {
  const isZip = start.length >= 4 && start.readUInt32LE(0) === 0x04034b50;
  return isZip || (start[0] === 0x80 && start.length >= 2 && start.readUInt8(1) <= 5);
}

/**
 * Reads what a `.pt`, `.pth`, `.bin` or `.ckpt` file says it holds; no code of it runs, and no tensor
 * is read yet. Known are the zip archives of `torch.save` since PyTorch 1.6, the files before, and
 * the archives of TorchScript.
 *
 * @throws BantamError if the file is damaged, or its pickle wants something else than tensors and containers:
 * the error names it.
 */
export function openTorchFile(path: string): TorchFile {
  using file = openFile(path);
  const start = file.read(0, Math.min(file.bytes, 4));
  const isZip = start.length === 4 && start.readUInt32LE(0) === 0x04034b50;
  return isZip ? readArchive(file) : readLegacy(file);
}

function readArchive(file: RandomAccessFile): TorchFile {
  const { path } = file;
  const entries = readZipEntries(file);
  const pickle = [...entries.keys()].find((name) => /^([^/]+\/)?data\.pkl$/.test(name));
  if (pickle === undefined) {
    throw new BantamError(
      `${path} is a zip archive without data.pkl, so no file of PyTorch; name the weights' file.`,
    );
  }
  const folder = pickle.slice(0, -'data.pkl'.length);
  const text = (name: string, limit: number): Buffer | null => {
    const entry = entries.get(folder + name);
    if (entry === undefined) return null;
    if (entry.bytes > limit) {
      throw new BantamError(
        `${name} in ${path} has ${entry.bytes} bytes, more than a model's has.`,
      );
    }
    return readZipEntry(file, name, entry);
  };
  if (text('byteorder', 64)?.toString('latin1').trim() === 'big') {
    throw new BantamError(
      `${path} has its numbers in big-endian order, which is not supported; save it anew on a little-endian machine.`,
    );
  }
  const bytes = text('data.pkl', LARGEST_PICKLE) ?? Buffer.alloc(0);
  const { value } = unpickle(path, bytes, { rules: torchRules(path) });
  const scripted = entries.has(`${folder}constants.pkl`);
  const inflated = new Map<string, Uint8Array>();
  return {
    path,
    value,
    scripted,
    members: scripted ? scriptMembers(file, folder, entries) : new Map(),
    fileBytes: file.bytes,
    locate: ({ key }) => {
      const name = `data/${key}`;
      const entry = entries.get(folder + name);
      if (entry === undefined) {
        throw new BantamError(`${path} lacks the tensor data ${name}; fetch or save it again.`);
      }
      if (!entry.deflated) return { start: entry.start, bytes: entry.bytes };
      const known = inflated.get(key) ?? inflate(path, name, entry);
      inflated.set(key, known);
      return known;
    },
  };
}

function inflate(path: string, name: string, entry: ZipEntry): Uint8Array {
  using file = openFile(path);
  return readZipEntry(file, name, entry);
}

/** Largest source file of a TorchScript archive that is searched for its classes. */
const LARGEST_SOURCE = 1 << 26;

/**
 * Which attributes of a TorchScript class are parameters and buffers. Its source says so; the pickle has all
 * attributes alike.
 */
function scriptMembers(
  file: RandomAccessFile,
  folder: string,
  entries: ReadonlyMap<string, ZipEntry>,
): Map<string, Set<string>> {
  const members = new Map<string, Set<string>>();
  for (const [name, entry] of entries) {
    if (!name.startsWith(`${folder}code/`) || !name.endsWith('.py')) continue;
    if (entry.bytes > LARGEST_SOURCE) continue;
    const module = name.slice(folder.length + 'code/'.length, -'.py'.length).replaceAll('/', '.');
    const source = readZipEntry(file, name, entry).toString('utf8');
    for (const [, className = '', lists = ''] of source.matchAll(
      /^class (\w+)\(Module\):\n((?: {2}__(?:parameters|buffers)__ = \[[^\]\n]*\]\n)*)/gm,
    )) {
      const names = [...lists.matchAll(/"([^"]*)"/g)].map(([, member = '']) => member);
      members.set(`${module}.${className}`, new Set(names));
    }
  }
  return members;
}

const asStrided = new Operator('aten::as_strided');

/**
 * The tensors of a file: views of the mapped file, or of memory for what is compressed in it.
 * It runs within a scope.
 *
 * @throws BantamError if the file lacks a part of them.
 */
export function readPickledTensors(
  file: TorchFile,
  tensors: ReadonlyMap<string, PickledTensor>,
): Map<string, Tensor> {
  const mapped = file.fileBytes > 0 ? mapFile(file.path, file.fileBytes) : null;
  const storages = new Map<PickledStorage, Map<DType, Tensor>>();
  const storageOf = (storage: PickledStorage, dtype: DType): Tensor => {
    const known = storages.get(storage) ?? new Map<DType, Tensor>();
    storages.set(storage, known);
    const elements = known.get(dtype) ?? flatStorage(file, mapped, storage, dtype);
    known.set(dtype, elements);
    return elements;
  };
  return new Map(
    [...tensors].map(([name, { storage, dtype, offset, shape, strides }]) => {
      const elements = shape.reduce((product, length) => product * length, 1);
      if (elements === 0) return [name, zeros(shape, { dtype })];
      const flat = storageOf(storage, dtype);
      const plain = isContiguous(shape, strides);
      const tensor = plain
        ? reshape(narrow(flat, 0, offset, elements), shape)
        : asStrided.tensor(narrow(flat, 0, offset, reach(shape, strides)), shape, strides, null);
      return [name, tensor];
    }),
  );
}

/** Elements from the first to the last of a tensor in its storage. */
function reach(shape: readonly number[], strides: readonly number[]): number {
  return shape.reduce((sum, length, i) => sum + (length - 1) * at(strides, i), 1);
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (at(shape, i) !== 1 && at(strides, i) !== expected) return false;
    expected *= at(shape, i);
  }
  return true;
}

/** All elements of a storage. */
function flatStorage(
  { path, locate }: TorchFile,
  mapped: Tensor | null,
  storage: PickledStorage,
  dtype: DType,
): Tensor {
  const size = dtypeBytes(dtype);
  const needed =
    storage.dtype === null ? storage.size - (storage.size % size) : storage.size * size;
  const found = locate(storage);
  const room = found instanceof Uint8Array ? found.length : found.bytes;
  if (needed > room) {
    throw new BantamError(
      `${path} has ${room} bytes of the tensor data ${storage.key} instead of ${needed}; fetch or save it again.`,
    );
  }
  if (found instanceof Uint8Array) {
    return viewAs(narrow(fromTypedArray(found), 0, 0, needed), dtype);
  }
  if (mapped === null) throw new RangeError('An empty file has no storages.');
  const raw = narrow(mapped, 0, found.start, needed);
  return viewAs(found.start % size === 0 ? raw : clone(raw), dtype);
}
