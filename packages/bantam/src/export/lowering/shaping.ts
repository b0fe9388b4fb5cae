/** Operators that arrange elements, and those that make tensors. */
import { at } from '@bantam/torch';
import type { OperatorCall } from './operator-call.js';
import type { Lowerings } from './lowerings.js';
import { isDynamic, sameSize, type Size } from '../record/sizes.js';

/** x in the shape of the result. */
export function reshaped(
  call: OperatorCall,
  x: string,
  from: readonly Size[],
  to: readonly Size[],
) {
  return call.graph.add('Reshape', [x, reshapeSizes(call, from, to)]);
}

/**
 * The second input of `Reshape`: a constant where that can be. 0 keeps the length of the same
 * dimension, and −1 is what remains.
 */
function reshapeSizes(call: OperatorCall, from: readonly Size[], to: readonly Size[]): string {
  const kept = to.map((size, dim): Size => {
    const before = from[dim];
    return isDynamic(size) && before !== undefined && sameSize(size, before) ? 0 : size;
  });
  const open = kept.filter(isDynamic);
  if (open.length > 1) return call.shape(to);
  return call.shape(kept.map((size) => (isDynamic(size) ? -1 : size)));
}

function reshape(call: OperatorCall): string {
  return reshaped(call, call.input(0), call.tensor(0).shape, call.result.shape);
}

function transpose(call: OperatorCall): string {
  const rank = call.result.shape.length;
  const [a, b] = [call.dim(1, rank), call.dim(2, rank)];
  const order = Array.from({ length: rank }, (_, i) => (i === a ? b : i === b ? a : i));
  return call.graph.add('Transpose', [call.input(0)], { perm: order });
}

function permute(call: OperatorCall): string {
  const rank = call.result.shape.length;
  const order = call.numbers(1).map((dim) => (dim < 0 ? dim + rank : dim));
  return call.graph.add('Transpose', [call.input(0)], { perm: order });
}

/** Elements `start` … `end` − 1, each `step`-th, of one dimension. */
function sliced(
  call: OperatorCall,
  x: string,
  { dim, start, end, step = 1 }: { dim: number; start: Size; end: Size; step?: number },
): string {
  const { graph } = call;
  const inputs = [x, call.shape([start]), call.shape([end]), graph.integers([dim])];
  return graph.add('Slice', step === 1 ? inputs : [...inputs, graph.integers([step])]);
}

/** The sum of two sizes. */
function plus(a: Size, b: Size): Size {
  const wide = (size: Size) =>
    isDynamic(size) ? size : { constant: size, batch: 0, tokens: 0, product: 0 };
  const [p, q] = [wide(a), wide(b)];
  const sum = {
    constant: p.constant + q.constant,
    batch: p.batch + q.batch,
    tokens: p.tokens + q.tokens,
    product: p.product + q.product,
  };
  return sum.batch === 0 && sum.tokens === 0 && sum.product === 0 ? sum.constant : sum;
}

function narrow(call: OperatorCall): string {
  const dim = call.dim(1, call.tensor(0).shape.length);
  const start = call.size(2);
  return sliced(call, call.input(0), { dim, start, end: plus(start, call.size(3)) });
}

function slice(call: OperatorCall): string {
  const { shape } = call.tensor(0);
  const dim = call.dim(1, shape.length);
  const start = call.has(2) ? call.size(2) : 0;
  const end = call.has(3) ? call.size(3) : at(shape, dim);
  return sliced(call, call.input(0), { dim, start, end, step: call.number(4) });
}

function select(call: OperatorCall): string {
  const { shape } = call.tensor(0);
  const axis = call.dim(1, shape.length);
  const index = call.size(2);
  if (!isDynamic(index)) {
    return call.graph.add('Gather', [call.input(0), call.graph.index(index)], { axis });
  }
  const one = sliced(call, call.input(0), { dim: axis, start: index, end: plus(index, 1) });
  return call.graph.add('Squeeze', [one, call.graph.integers([axis])]);
}

/** Parts along a dimension, each without it. */
function unbind(call: OperatorCall): string[] {
  const axis = call.dim(1, call.tensor(0).shape.length);
  const x = call.input(0);
  return call.results.map((_, i) => call.graph.add('Gather', [x, call.graph.index(i)], { axis }));
}

/** Parts of the lengths that the results have. */
function split(call: OperatorCall): string[] {
  const axis = call.dim(2, call.tensor(0).shape.length);
  const lengths = call.results.map(({ shape }) => at(shape, axis));
  return call.graph.addSeveral('Split', [call.input(0), call.shape(lengths)], {
    outputs: lengths.length,
    attributes: { axis },
  });
}

/** Each slice along a dimension several times in a row. */
function repeatInterleave(call: OperatorCall): string {
  const { graph, result } = call;
  const { shape } = call.tensor(0);
  const dim = call.dim(2, shape.length);
  const repeats = call.number(1);
  const apart = graph.add('Unsqueeze', [call.input(0), graph.integers([dim + 1])]);
  const ones = (count: number) => Array.from({ length: count }, () => 1);
  const times = [...ones(dim + 1), repeats, ...ones(shape.length - dim - 1)];
  const repeated = graph.add('Expand', [apart, graph.integers(times)]);
  const from = [...shape.slice(0, dim + 1), repeats, ...shape.slice(dim + 1)];
  return reshaped(call, repeated, from, result.shape);
}

/** Moves elements on along some dimensions, those past the end to the start. */
function roll(call: OperatorCall): string {
  const { shape } = call.result;
  const dims = call.numbers(2);
  return call.numbers(1).reduce((x, shift, i) => {
    const dim = at(dims, i);
    const length = Number(at(shape, dim));
    const cut = (((length - shift) % length) + length) % length;
    const back = sliced(call, x, { dim, start: cut, end: length });
    const front = sliced(call, x, { dim, start: 0, end: cut });
    return call.graph.add('Concat', [back, front], { axis: dim });
  }, call.input(0));
}

/** Amounts come in pairs from the last dimension backwards; ONNX wants all first ones, then all others. */
function pad(call: OperatorCall): string {
  const rank = call.result.shape.length;
  const given = call.argument(1) as readonly Size[];
  const amount = (dim: number, side: 0 | 1): Size => {
    const i = 2 * (rank - 1 - dim) + side;
    return i < given.length ? at(given, i) : 0;
  };
  const dims = Array.from({ length: rank }, (_, dim) => dim);
  const pads = [...dims.map((dim) => amount(dim, 0)), ...dims.map((dim) => amount(dim, 1))];
  const value = call.has(3) ? call.number(3) : 0;
  const filler =
    call.resultType === 'int64'
      ? call.graph.index(value)
      : call.cast(call.graph.number(value), 'float32', call.resultType);
  return call.graph.add('Pad', [call.input(0), call.shape(pads), filler]);
}

/** A tensor of the result's shape with one number everywhere. */
function filled(call: OperatorCall, value: number): string {
  const { graph, resultType } = call;
  const one =
    resultType === 'int64'
      ? graph.index(value)
      : call.cast(graph.number(value), 'float32', resultType);
  return graph.add('Expand', [one, call.shape(call.result.shape)]);
}

function gather(call: OperatorCall): string {
  const axis = call.dim(1, call.result.shape.length);
  return call.graph.add('GatherElements', [call.input(0), call.input(2)], { axis });
}

function triangle(call: OperatorCall): string {
  return call.graph.add('Trilu', [call.input(0), call.graph.index(call.number(1))], { upper: 1 });
}

function range(call: OperatorCall): string {
  const { graph } = call;
  const bound = (i: number) => {
    const size = call.size(i);
    return isDynamic(size)
      ? graph.add('Squeeze', [call.shape([size]), graph.integers([0])])
      : graph.index(size);
  };
  const numbers = graph.add('Range', [bound(0), bound(1), bound(2)]);
  return call.cast(numbers, 'int64', call.resultType);
}

const unchanged = (call: OperatorCall): string => call.input(0);

const converted = (call: OperatorCall): string => call.inputAs(0, call.resultType);

export const shaping: Lowerings = {
  'aten::reshape': reshape,
  'aten::flatten.using_ints': reshape,
  'aten::unsqueeze': (call) => {
    const dim = call.dim(1, call.result.shape.length);
    return call.graph.add('Unsqueeze', [call.input(0), call.graph.integers([dim])]);
  },
  'aten::squeeze.dim': (call) => {
    const { shape } = call.tensor(0);
    if (call.result.shape.length === shape.length) return call.input(0);
    return call.graph.add('Squeeze', [
      call.input(0),
      call.graph.integers([call.dim(1, shape.length)]),
    ]);
  },
  'aten::permute': permute,
  'aten::transpose.int': transpose,
  'aten::expand': (call) =>
    call.graph.add('Expand', [call.input(0), call.shape(call.result.shape)]),
  'aten::cat': (call) =>
    call.graph.add('Concat', call.inputs(0), { axis: call.dim(1, call.result.shape.length) }),
  'aten::narrow': narrow,
  'aten::slice.Tensor': slice,
  'aten::select.int': select,
  'aten::unbind.int': unbind,
  'aten::chunk': split,
  'aten::split.sizes': split,
  'aten::roll': roll,
  'aten::repeat_interleave.self_int': repeatInterleave,
  'aten::pad': pad,
  'aten::index_select': (call) =>
    call.graph.add('Gather', [call.input(0), call.input(2)], {
      axis: call.dim(1, call.tensor(0).shape.length),
    }),
  'aten::gather': gather,
  'aten::triu': triangle,
  'aten::contiguous': unchanged,
  'aten::clone': unchanged,
  'aten::detach': unchanged,
  'aten::to.dtype': converted,
  'aten::to.device': converted,
  'aten::_to_copy': converted,
  'aten::zeros': (call) => filled(call, 0),
  'aten::ones': (call) => filled(call, 1),
  'aten::full': (call) => filled(call, call.number(1)),
  'aten::arange.start_step': range,
};
