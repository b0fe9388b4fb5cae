/** The names that pickles of PyTorch's files may have in them, and the plain data that stands for each. */
import { at, dtypeBytes, type DType } from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import type { PickleRules } from './unpickle.js';
import { PickledModule, PickledName, PickledStorage, PickledTensor } from './values.js';

/** Storage classes of `torch`, whose names tell the element type. */
const storageDtypes: ReadonlyMap<string, DType> = new Map([
  ['FloatStorage', 'float32'],
  ['DoubleStorage', 'float64'],
  ['HalfStorage', 'float16'],
  ['BFloat16Storage', 'bfloat16'],
  ['LongStorage', 'int64'],
  ['IntStorage', 'int32'],
  ['ShortStorage', 'int16'],
  ['CharStorage', 'int8'],
  ['ByteStorage', 'uint8'],
  ['BoolStorage', 'bool'],
]);

/** Element types that a pickle names as attributes of `torch`. */
const torchDtypes: ReadonlyMap<string, DType> = new Map([
  ...[...storageDtypes.values()].map((dtype) => [dtype, dtype] as const),
  ...([
    ['float', 'float32'],
    ['double', 'float64'],
    ['half', 'float16'],
    ['long', 'int64'],
    ['int', 'int32'],
    ['short', 'int16'],
  ] as const),
]);

type Build = (args: readonly unknown[], fail: Fail) => unknown;
type Fail = (problem: string) => never;

const asMap: Build = ([items]) => {
  if (items instanceof Map) return new Map(items);
  const pairs = Array.isArray(items) ? (items as unknown[]) : [];
  return new Map(pairs.filter(isPair));
};

function isPair(value: unknown): value is [unknown, unknown] {
  return Array.isArray(value) && value.length === 2;
}

const listOf: Build = ([items]) => (Array.isArray(items) ? [...(items as unknown[])] : []);
const first: Build = ([value]) => value;

/** Functions and classes that may be called. Each builds a container, a number or a tensor's description. */
const builders: ReadonlyMap<string, Build> = new Map<string, Build>([
  ['collections.OrderedDict', asMap],
  // The counts, or a factory for members that are missing, which none is asked for.
  ['collections.Counter', asMap],
  ['collections.defaultdict', () => new Map()],
  ['builtins.dict', asMap],
  ['builtins.list', listOf],
  ['builtins.tuple', listOf],
  ['builtins.set', (args, fail) => new Set(listOf(args, fail) as unknown[])],
  ['builtins.frozenset', (args, fail) => new Set(listOf(args, fail) as unknown[])],
  ['builtins.bytearray', first],
  ['builtins.int', first],
  ['builtins.float', first],
  ['builtins.bool', first],
  ['builtins.str', first],
  ['builtins.complex', (args) => [...args]],
  ['argparse.Namespace', () => new Map()],
  // Bytes in the pickles of Python 2.
  ['_codecs.encode', ([text]) => Buffer.from(typeof text === 'string' ? text : '', 'latin1')],
  ['torch.Size', listOf],
  ['torch.device', ([name]) => name],
  ['torch._utils._rebuild_tensor', (args, fail) => tensorOf(args, null, fail)],
  ['torch._utils._rebuild_tensor_v2', (args, fail) => tensorOf(args, null, fail)],
  ['torch._utils._rebuild_tensor_v3', (args, fail) => tensorOf(args, args[6], fail)],
  ['torch._utils._rebuild_parameter', first],
  ['torch._utils._rebuild_parameter_with_state', first],
  ['torch.nn.parameter.Parameter', first],
  ['torch.jit._pickle.build_intlist', listOf],
  ['torch.jit._pickle.build_doublelist', listOf],
  ['torch.jit._pickle.build_boollist', listOf],
  ['torch.jit._pickle.build_tensorlist', listOf],
  ['torch.jit._pickle.restore_type_tag', first],
  // Numbers of NumPy among a trainer's statistics: kept as their bytes, which no model needs.
  ['numpy.core.multiarray.scalar', ([, bytes]) => bytes],
  ['numpy._core.multiarray.scalar', ([, bytes]) => bytes],
  ['numpy.dtype', ([name]) => name],
]);

/** Names that are data themselves. */
const constants: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ...[...torchDtypes].map(([name, dtype]) => [`torch.${name}`, dtype] as const),
  ...[...storageDtypes.keys()].map(
    (name) => [`torch.${name}`, new PickledName('torch', name)] as const,
  ),
  ['torch.storage.UntypedStorage', new PickledName('torch.storage', 'UntypedStorage')],
  ['torch.strided', 'strided'],
]);

/** Python 2's name of a module, as today's. */
function moduleOf(module: string): string {
  return module === '__builtin__' ? 'builtins' : module;
}

/**
 * The rules for files of `torch.save` and TorchScript: tensors, containers and numbers. A class of a
 * TorchScript archive (`__torch__.…`) is a module with attributes. Everything else is refused by its name.
 *
 * @param path - The file, for messages
 */
export function torchRules(path: string): PickleRules {
  const fail = (problem: string): never => {
    throw new BantamError(
      `${path} is not a whole file of PyTorch: ${problem}; fetch or save it again.`,
    );
  };
  const refuse = (name: PickledName): never => {
    throw new BantamError(
      `${path} asks for ${printable(name)} and is not read: Bantam takes tensors and containers from pickles and runs no code of theirs; save the model's state_dict() instead, and load this file nowhere else unless you trust its source.`,
    );
  };
  return {
    allow(name) {
      const full = `${moduleOf(name.module)}.${name.name}`;
      if (constants.has(full)) return constants.get(full);
      if (builders.has(full) || isScripted(name)) return name;
      return refuse(name);
    },
    call(name, args) {
      if (!(name instanceof PickledName)) return fail('its pickle calls what is no name');
      if (isScripted(name)) return new PickledModule(name);
      const build = builders.get(`${moduleOf(name.module)}.${name.name}`);
      return build === undefined ? refuse(name) : build(args, fail);
    },
    load: (id) => storageOf(id, path, fail),
  };
}

function isScripted({ module }: PickledName): boolean {
  return module === '__torch__' || module.startsWith('__torch__.');
}

/** A name for a message: short, and without characters that would change the terminal. */
function printable(name: PickledName): string {
  const text = String(name).replace(/[^\x20-\x7e]/g, '?');
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}

/** `('storage', class, key, location, size)`, and a view in files of before PyTorch 1.6. */
function storageOf(id: unknown, path: string, fail: Fail): PickledStorage {
  const [kind, type, key, , size] = Array.isArray(id) ? (id as unknown[]) : [];
  if (kind !== 'storage' || !(type instanceof PickledName)) {
    return fail('it stores elements in an unknown way');
  }
  if (type.module === 'torch.storage')
    return new PickledStorage(String(key), null, count(size, fail));
  const dtype = storageDtypes.get(type.name);
  if (dtype === undefined) {
    throw new BantamError(
      `${path} has tensors of the type ${printable(type)}, which is not supported; save them as float32.`,
    );
  }
  return new PickledStorage(String(key), dtype, count(size, fail));
}

function count(value: unknown, fail: Fail): number {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  return fail('it has a size that is no number');
}

function counts(value: unknown, fail: Fail): number[] {
  return Array.isArray(value)
    ? value.map((item) => count(item, fail))
    : fail('a tensor has no shape');
}

/** Dimensions of a tensor at most, as in libtorch. */
const MOST_DIMENSIONS = 64;

/** Elements that a tensor may have beyond those of its storage, by repeating some (`expand`). */
const MOST_REPEATED = 1 << 20;

/** `(storage, offset, shape, strides, …)`; the element type is the storage's, or given. */
function tensorOf(args: readonly unknown[], named: unknown, fail: Fail): PickledTensor {
  const [storage, offset, shape, strides, , , last] = args;
  if (!(storage instanceof PickledStorage)) return fail('a tensor has no storage');
  const own = [...torchDtypes.values()].find((known) => known === named) ?? storage.dtype;
  const dtype = own ?? fail('a tensor has an element type that is not supported');
  const tensor = new PickledTensor(
    storage,
    dtype,
    count(offset, fail),
    counts(shape, fail),
    counts(strides, fail),
  );
  const metadata = named === null ? last : args[7];
  if (metadata instanceof Map && metadata.size > 0) {
    return fail('a tensor is conjugate or negative, which is not supported');
  }
  checkBounds(tensor, fail);
  return tensor;
}

/** Every element must be in the storage, and a tensor must not be much larger than it. */
function checkBounds({ storage, dtype, offset, shape, strides }: PickledTensor, fail: Fail): void {
  if (shape.length !== strides.length || shape.length > MOST_DIMENSIONS) {
    return fail('a tensor has strides that are not of its shape');
  }
  const room = storage.dtype === null ? Math.floor(storage.size / dtypeBytes(dtype)) : storage.size;
  const elements = shape.reduce((product, length) => product * length, 1);
  const last = shape.reduce((sum, length, i) => sum + (length - 1) * at(strides, i), offset);
  const repeated = elements > Math.max(room, MOST_REPEATED);
  if (elements > 0 && (last >= room || repeated)) {
    fail(`a tensor of [${shape.join(', ')}] has elements beyond the ${room} of its storage`);
  }
}
