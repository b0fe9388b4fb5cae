/** Sequences of different lengths. */
import { Operator } from '../operator.js';
import type { Tensor } from '../tensor.js';

const packRowsOp = new Operator('bantam::pack_rows');
const unpackRowsOp = new Operator('bantam::unpack_rows');

/** Where sequences are that lie one behind the other, without the padding of a batch. */
export interface Packing {
  /** The first row of each sequence, and behind the last one the number of all rows. */
  readonly starts: readonly number[];
  /** Rows of each sequence in a batch: those of the longest, or more. */
  readonly length: number;
}

/** A batch [B, L, *] without its padding: [T, *], of each sequence the first rows. CPU alone. */
export function packRows(x: Tensor, { starts }: Packing): Tensor {
  return packRowsOp.tensor(x, starts);
}

/** The inverse of {@link packRows}: [T, *] → [B, L, *], zero behind each sequence. CPU alone. */
export function unpackRows(x: Tensor, { starts, length }: Packing): Tensor {
  return unpackRowsOp.tensor(x, starts, length);
}
