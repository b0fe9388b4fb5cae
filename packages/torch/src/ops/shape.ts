/** Views, joins, slices and conversions: what changes the arrangement of elements. */
import { deviceType, prepareDevice, type Device } from '../device.js';
import { dtypeCode, type DType } from '../dtype.js';
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';

const reshapeOp = new Operator('aten::reshape');
const flattenOp = new Operator('aten::flatten', 'using_ints');
const permuteOp = new Operator('aten::permute');
const transposeOp = new Operator('aten::transpose', 'int');
const unsqueezeOp = new Operator('aten::unsqueeze');
const squeezeOp = new Operator('aten::squeeze', 'dim');
const expandOp = new Operator('aten::expand');
const repeatInterleaveOp = new Operator('aten::repeat_interleave', 'self_int');
const catOp = new Operator('aten::cat');
const stackOp = new Operator('aten::stack');
const chunkOp = new Operator('aten::chunk');
const rollOp = new Operator('aten::roll');
const unbindOp = new Operator('aten::unbind', 'int');
const splitOp = new Operator('aten::split', 'sizes');
const sliceOp = new Operator('aten::slice', 'Tensor');
const selectOp = new Operator('aten::select', 'int');
const narrowOp = new Operator('aten::narrow');
const indexSelectOp = new Operator('aten::index_select');
const indexAddOp = new Operator('aten::index_add');
const nonzeroOp = new Operator('aten::nonzero');
const gatherOp = new Operator('aten::gather');
const indexOp = new Operator('aten::index', 'Tensor');
const flipOp = new Operator('aten::flip');
const triuOp = new Operator('aten::triu');
const padOp = new Operator('aten::pad');
const contiguousOp = new Operator('aten::contiguous');
const cloneOp = new Operator('aten::clone');
const detachOp = new Operator('aten::detach');
const toDtypeOp = new Operator('aten::to', 'dtype');
const toDeviceOp = new Operator('aten::to', 'device');
const pinMemoryOp = new Operator('aten::pin_memory');
const viewDtypeOp = new Operator('aten::view', 'dtype');
const packRowsOp = new Operator('bantam::pack_rows');
const unpackRowsOp = new Operator('bantam::unpack_rows');

/** libtorch's number of the memory format. */
const CHANNELS_LAST = 2;

/** The same elements in another shape; one length may be −1. A view where the strides allow it. */
export function reshape(x: Tensor, shape: readonly number[]): Tensor {
  return reshapeOp.tensor(x, shape);
}

/** Dimensions start…end (inclusive) joined into one. */
export function flatten(
  x: Tensor,
  { start = 0, end = -1 }: { start?: number; end?: number } = {},
): Tensor {
  return flattenOp.tensor(x, start, end);
}

/** A view with its dimensions in the order `dims`. */
export function permute(x: Tensor, dims: readonly number[]): Tensor {
  return permuteOp.tensor(x, dims);
}

/** A view with two dimensions exchanged. */
export function transpose(x: Tensor, dim0: number, dim1: number): Tensor {
  return transposeOp.tensor(x, dim0, dim1);
}

/** A view with a dimension of length 1 put in at `dim`. */
export function unsqueeze(x: Tensor, dim: number): Tensor {
  return unsqueezeOp.tensor(x, dim);
}

/** A view without dimension `dim` where its length is 1. */
export function squeeze(x: Tensor, dim: number): Tensor {
  return squeezeOp.tensor(x, dim);
}

/** A view that repeats dimensions of length 1 without copying; −1 keeps a length. */
export function expand(x: Tensor, shape: readonly number[]): Tensor {
  return expandOp.tensor(x, shape);
}

/** Each slice along `dim` repeated `repeats` times in a row. */
export function repeatInterleave(x: Tensor, repeats: number, dim: number): Tensor {
  return repeatInterleaveOp.tensor(x, repeats, dim);
}

/** Tensors joined along an existing dimension. */
export function cat(tensors: readonly Tensor[], dim = 0): Tensor {
  return catOp.tensor(tensors, dim);
}

/** Tensors joined along a new dimension. */
export function stack(tensors: readonly Tensor[], dim = 0): Tensor {
  return stackOp.tensor(tensors, dim);
}

/** x with its elements moved on by `shifts` positions along each of `dims`, those past the end to the start. */
export function roll(x: Tensor, shifts: readonly number[], dims: readonly number[]): Tensor {
  return rollOp.tensor(x, shifts, dims);
}

/** Views of `count` equal parts along `dim` (the last may be shorter). */
export function chunk(x: Tensor, count: number, dim = 0): Tensor[] {
  return chunkOp.tensors(x, count, dim);
}

/** Views of x[…, i, …] along `dim` for every i. */
export function unbind(x: Tensor, dim = 0): Tensor[] {
  return unbindOp.tensors(x, dim);
}

/** Views of parts of the given lengths along `dim`. */
export function split(x: Tensor, lengths: readonly number[], dim = 0): Tensor[] {
  return splitOp.tensors(x, lengths, dim);
}

/** Options of {@link slice}. */
export interface SliceOptions {
  dim?: number;
  start?: number;
  end?: number;
  step?: number;
}

/** A view of x[start:end:step] along `dim`; negative positions count from the end. */
export function slice(x: Tensor, { dim = 0, start, end, step = 1 }: SliceOptions): Tensor {
  return sliceOp.tensor(x, dim, start ?? null, end ?? null, step);
}

/** A view of x[…, index, …] along `dim`, which goes away. */
export function select(x: Tensor, dim: number, index: number): Tensor {
  return selectOp.tensor(x, dim, index);
}

/** A view of `length` elements from `start` along `dim`. */
export function narrow(x: Tensor, dim: number, start: number, length: number): Tensor {
  return narrowOp.tensor(x, dim, start, length);
}

/** The slices along `dim` that a one-dimensional int64 tensor names. */
export function indexSelect(x: Tensor, dim: number, index: Tensor): Tensor {
  return indexSelectOp.tensor(x, dim, index);
}

/** x with the slices of `source` added to those along `dim` that an int64 tensor names. */
export function indexAdd(x: Tensor, dim: number, index: Tensor, source: Tensor): Tensor {
  return indexAddOp.tensor(x, dim, index, source);
}

/** The indices of the elements that are not 0 in row-major order: int64 [n, rank of x]. */
export function nonzero(x: Tensor): Tensor {
  return nonzeroOp.tensor(x);
}

/** out[i, j, …] = x[…, index[i, j, …], …] along `dim` */
export function gather(x: Tensor, dim: number, index: Tensor): Tensor {
  return gatherOp.tensor(x, dim, index);
}

/** x[index₀, index₁, …] with int64 or boolean tensors; null takes a whole dimension. */
export function index(x: Tensor, indices: readonly (Tensor | null)[]): Tensor {
  return indexOp.tensor(x, indices);
}

/** The elements in reverse order along the given dimensions. */
export function flip(x: Tensor, dims: readonly number[]): Tensor {
  return flipOp.tensor(x, dims);
}

/** The upper triangle, zero below the given diagonal. */
export function triu(x: Tensor, diagonal = 0): Tensor {
  return triuOp.tensor(x, diagonal);
}

/** x with `value` around it; `amounts` are (before, after) from the last dimension backwards. */
export function pad(x: Tensor, amounts: readonly number[], value = 0): Tensor {
  return padOp.tensor(x, amounts, 'constant', value);
}

/** x itself if its elements are in row-major order, else a copy in which they are. */
export function contiguous(x: Tensor): Tensor {
  return contiguousOp.tensor(x);
}

/**
 * x [N, C, H, W] in channels-last memory: x itself if it is, else
 * a copy. Convolutions, batch normalisation and pooling keep the arrangement and are faster in it.
 */
export function channelsLast(x: Tensor): Tensor {
  return contiguousOp.tensor(x, CHANNELS_LAST);
}

/** A copy. */
export function clone(x: Tensor): Tensor {
  return cloneOp.tensor(x);
}

/** A view outside of the autograd graph. */
export function detach(x: Tensor): Tensor {
  return detachOp.tensor(x);
}

/** Options of {@link to}. */
export interface ToOptions {
  dtype?: DType;
  device?: Device;
  /**
   * Wait for a copy between CPU and GPU. With false a copy from the CPU goes through pinned memory, and
   * the device makes it when it comes to it; to read from a device use {@link Tensor.read}. Default true.
   */
  wait?: boolean;
}

/** x as another element type and on another device; the same memory if nothing changes. */
export function to(x: Tensor, { dtype, device, wait = true }: ToOptions): Tensor {
  const code = dtypeCode(dtype ?? x.dtype);
  if (device === undefined) return toDtypeOp.tensor(x, code);
  const target = prepareDevice(device);
  if (wait || x.device !== 'cpu' || !takesPinnedMemory(target)) {
    return toDeviceOp.tensor(x, target, code);
  }
  const pinned = pinMemory(x);
  const moved = toDeviceOp.tensor(pinned, target, code, true);
  if (pinned !== x) pinned.dispose();
  return moved;
}

/** True for devices that copy from pinned memory of the CPU without making it wait. */
function takesPinnedMemory(device: Device): boolean {
  return ['cuda', 'emulated'].includes(deviceType(device));
}

/** x in memory of the CPU that the system never moves, from which GPUs copy without waiting. */
export function pinMemory(x: Tensor): Tensor {
  return pinMemoryOp.tensor(x);
}

/** A view of the same bytes read as another element type. */
export function viewAs(x: Tensor, dtype: DType): Tensor {
  return viewDtypeOp.tensor(x, dtypeCode(dtype));
}

/** Variable-length sequences in one tensor, one after the other without padding. */
export interface Packing {
  /** First row of each sequence, then the number of all rows. */
  readonly starts: readonly number[];
  /** Length of the padded sequences: that of the longest, or more. */
  readonly length: number;
}

/** A batch [B, L, *] without its padding: [T, *], the first rows of each sequence. CPU only. */
export function packRows(x: Tensor, { starts }: Packing): Tensor {
  return packRowsOp.tensor(x, starts);
}

/** The inverse of {@link packRows}: [T, *] → [B, L, *], zeros after each sequence. CPU only. */
export function unpackRows(x: Tensor, { starts, length }: Packing): Tensor {
  return unpackRowsOp.tensor(x, starts, length);
}
