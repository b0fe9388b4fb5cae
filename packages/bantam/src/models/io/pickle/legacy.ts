import { dtypeBytes } from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import type { RandomAccessFile } from './file.js';
import { torchRules } from './rules.js';
import { LARGEST_PICKLE, unpickle, type PickleRules } from './unpickle.js';
import { PickledStorage, type StorageBytes, type TorchFile } from './values.js';

/** The first pickle of a file of `torch.save` before PyTorch 1.6. */
const MAGIC = 0x1950a86a20f9469cfc6cn;
const PROTOCOL = 1001;

/**
 * Reads a file of `torch.save` before PyTorch 1.6 (or with `_use_new_zipfile_serialization=False`): five
 * pickles (magic number, protocol, system, the object, the storages' keys), then for each storage its
 * number of elements as int64 and the elements.
 *
 * @throws BantamError if it is damaged or of another kind.
 */
export function readLegacy(file: RandomAccessFile): TorchFile {
  const { path } = file;
  const head = file.read(0, Math.min(file.bytes, LARGEST_PICKLE));
  const storages = new Map<string, PickledStorage>();
  const rules = rememberingStorages(torchRules(path), storages);
  const next = (start: number) => unpickle(path, head, { rules, start });
  const magic = next(0);
  if (magic.value !== MAGIC) {
    throw new BantamError(
      `${path} is a Python pickle that torch.save did not write; save the model's state_dict() with torch.save.`,
    );
  }
  const protocol = next(magic.end);
  if (protocol.value !== PROTOCOL) {
    throw new BantamError(
      `${path} has the protocol ${JSON.stringify(protocol.value)} of torch.save, which is not known; save it anew.`,
    );
  }
  const system = next(protocol.end);
  if (system.value instanceof Map && system.value.get('little_endian') === false) {
    throw new BantamError(
      `${path} has its numbers in big-endian order, which is not supported; save it anew on a little-endian machine.`,
    );
  }
  const object = next(system.end);
  const keys = next(object.end);
  const locations = locateStorages(file, storages, { keys: keys.value, start: keys.end });
  return {
    path,
    value: object.value,
    scripted: false,
    members: new Map(),
    fileBytes: file.bytes,
    locate: ({ key }) => {
      const location = locations.get(key);
      if (location !== undefined) return location;
      throw new BantamError(`${path} lacks the tensor data ${key}; fetch or save it again.`);
    },
  };
}

/** The rules, noting each storage that the pickle has. */
function rememberingStorages(
  rules: PickleRules,
  storages: Map<string, PickledStorage>,
): PickleRules {
  return {
    ...rules,
    load: (id) => {
      const storage = rules.load(id);
      if (storage instanceof PickledStorage) storages.set(storage.key, storage);
      const view = Array.isArray(id) ? (id as unknown[])[5] : null;
      if (view === null || view === undefined) return storage;
      throw new BantamError(
        'A storage is a view of another one, as before PyTorch 0.4; save the file anew with a current version.',
      );
    },
  };
}

/** Offsets of the storages' elements, in the order of the list of keys. */
function locateStorages(
  file: RandomAccessFile,
  storages: ReadonlyMap<string, PickledStorage>,
  { keys, start }: { keys: unknown; start: number },
): Map<string, StorageBytes> {
  const locations = new Map<string, StorageBytes>();
  let at = start;
  for (const key of Array.isArray(keys) ? (keys as unknown[]) : []) {
    const storage = storages.get(String(key));
    if (storage === undefined || at + 8 > file.bytes) {
      throw new BantamError(`${file.path} is cut short or damaged; fetch or save it again.`);
    }
    const elements = Number(file.read(at, 8).readBigInt64LE());
    const bytes = elements * (storage.dtype === null ? 1 : dtypeBytes(storage.dtype));
    if (elements < 0 || bytes > file.bytes - at - 8) {
      throw new BantamError(`${file.path} is cut short; fetch or save it again.`);
    }
    locations.set(storage.key, { start: at + 8, bytes });
    at += 8 + bytes;
  }
  return locations;
}
