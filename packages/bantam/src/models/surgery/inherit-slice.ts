import { at, Embedding, narrow, reshape, type Module, type Tensor } from '@bantam/torch';
import { ShapedAttention } from '../blocks/shaped-attention.js';
import { MultimodalDecoder } from '../towers/decoder/multimodal-decoder.js';

/** The part of a teacher's tensor that a smaller student's starts from. */
export interface Slice {
  /** Matrices stacked along the rows that are cut one by one, such as those of q, k and v. */
  readonly parts: number;
  /** Length that is taken from the front of each dimension, of the first one in every part. */
  readonly lengths: readonly number[];
}

/**
 * The leading slice of every dimension that makes a tensor of the shape `other` one of the shape
 * `own` (TinyCLIP, Wu et al. 2023, section 3.3); null if a dimension is longer, or one of the
 * `fixed` dimensions differs.
 */
export function sliceOf(
  own: readonly number[],
  other: readonly number[],
  { parts, fixed }: { parts: number; fixed: readonly number[] },
): Slice | null {
  const fits =
    own.length === other.length &&
    own.every((length, dim) => length <= at(other, dim)) &&
    fixed.every((dim) => own[dim] === other[dim]);
  return fits ? { parts, lengths: own.map((n, dim) => (dim === 0 ? n / parts : n)) } : null;
}

/** The slice of a tensor: a view, or a copy if it has several parts. */
export function takeSlice(tensor: Tensor, { parts, lengths }: Slice): Tensor {
  const rows = tensor.rank === 0 ? [] : [parts, tensor.dim(0) / parts];
  const split = reshape(tensor, [...rows, ...tensor.shape.slice(1)]);
  const cut = lengths.reduce((rest, length, dim) => narrow(rest, dim + 1, 0, length), split);
  return reshape(
    cut,
    lengths.map((length, dim) => (dim === 0 ? parts * length : length)),
  );
}

/** `[:192, :192]`, and `[3 × :192, :192]` of three parts. */
export function describeSlice({ parts, lengths }: Slice): string {
  const ranges = lengths.map((length) => `:${length}`);
  return `[${parts > 1 ? `${parts} × ` : ''}${ranges.join(', ')}]`;
}

/** Members of attentions that hold the matrices of several of q, k and v, and how many. */
const stacked: ReadonlyMap<string, number> = new Map([
  ['in_proj_weight', 3],
  ['in_proj_bias', 3],
  ['qkv', 3],
  ['kv', 2],
]);

/** Number of matrices that are stacked in a member of a module. */
export function stackedParts(owner: Module, member: string): number {
  const parts = 'heads' in owner ? (stacked.get(member) ?? 1) : 1;
  return parts === 3 && owner instanceof ShapedAttention ? 2 : parts;
}

/** Tables with a row for each position or distance, of which a slice has no meaning. */
const tables = ['positional_embedding', 'pos_embed', 'relative_position_bias_table'];

/** The dimensions of a tensor that are no widths: positions, kernels and vocabulary ids. */
export function fixedDimensions(owner: Module, name: string, { rank }: Tensor): number[] {
  if (rank === 4) return [2, 3];
  if (rank === 3) return [1];
  if (owner instanceof MultimodalDecoder) return [1];
  return owner instanceof Embedding || tables.includes(name) ? [0] : [];
}

/**
 * Layers whose inputs or outputs are not the channels of one location: those that mix patches, and
 * those that merge four locations.
 */
export const unsliceable = /(?:^|\.)(?:mlp_tokens|downsample\.(?:reduction|norm))\./;
