/** Operators of neural networks: products, convolutions, norms, pooling, reductions. */
import {
  add,
  at,
  div,
  mul,
  reshape,
  scope,
  sqrt,
  sub,
  transpose,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { activation } from './elementwise.js';
import type { Lowerings } from './lowerings.js';
import type { OperatorCall } from './operator-call.js';

/** x·Wᵀ + b, of arguments x, W and b at these positions. */
function linear(call: OperatorCall, x: string, weight: number, bias: number): string {
  const { graph } = call;
  const known = call.constant(weight);
  const matrix =
    known === null
      ? graph.add('Transpose', [call.input(weight)], { perm: [1, 0] })
      : call.weight(
          call.nameOf(weight),
          scope(() => transpose(known, 0, 1)),
        );
  const product = graph.add('MatMul', [x, matrix]);
  return call.has(bias) ? graph.add('Add', [product, call.input(bias)]) : product;
}

/** y, plus the argument at that position if there is one. */
function withResidual(call: OperatorCall, y: string, residual: number): string {
  return call.has(residual) ? call.graph.add('Add', [call.input(residual), y]) : y;
}

function mlp(call: OperatorCall): string {
  const hidden = activation(call, call.number(6), linear(call, call.input(0), 1, 2));
  return withResidual(call, linear(call, hidden, 3, 4), 5);
}

/** beta·c + alpha·a·b */
function scaledProduct(call: OperatorCall): string {
  const { graph } = call;
  const scaled = (x: string, weight: number) =>
    weight === 1 ? x : graph.add('Mul', [x, graph.number(weight)]);
  const [beta, alpha] = [call.number(3), call.number(4)];
  const product = scaled(graph.add('MatMul', [call.input(1), call.input(2)]), alpha);
  return beta === 0 ? product : graph.add('Add', [product, scaled(call.input(0), beta)]);
}

/** The normalised x, and x itself. */
function layerNorm(call: OperatorCall): string[] {
  const x = call.input(0);
  const normed = call.graph.add('LayerNormalization', [x, call.input(1), call.input(2)], {
    axis: -1,
    epsilon: { float: call.number(3) },
  });
  return [normed, x];
}

/** Weight and shift by which a batch norm in evaluation multiplies and adds. */
function batchNormScale(call: OperatorCall): { scale: Tensor; shift: Tensor } {
  const [weight, bias, mean, variance] = [1, 2, 3, 4].map((i) => call.constant(i));
  if (call.boolean(7) || !weight || !bias || !mean || !variance) {
    throw new BantamError(
      'A batch norm of this model is in training mode; export needs evaluation.',
    );
  }
  return scope(() => {
    const scale = div(weight, sqrt(add(variance, call.number(9))));
    return { scale, shift: sub(bias, mul(mean, scale)) };
  });
}

/** x·scale + shift per channel, plus the residual, through max(·, 0) if asked. */
function batchNorm(call: OperatorCall): string {
  const sum = withResidual(call, call.isFolded(0) ? call.input(0) : scaleAndShift(call), 5);
  return call.boolean(6) ? call.graph.add('Relu', [sum]) : sum;
}

function scaleAndShift(call: OperatorCall): string {
  const { graph } = call;
  const { scale, shift } = batchNormScale(call);
  const channels = scale.dim(0);
  const perChannel = (i: number, x: Tensor) =>
    call.weight(
      call.nameOf(i),
      scope(() => reshape(x, [channels, 1, 1])),
    );
  const scaled = graph.add('Mul', [call.input(0), perChannel(1, scale)]);
  return graph.add('Add', [scaled, perChannel(2, shift)]);
}

interface Geometry {
  readonly stride: readonly number[];
  readonly padding: readonly number[];
  readonly dilation: readonly number[];
  readonly groups: number;
}

/** Weight and bias of a convolution, with the batch norm that alone reads its result merged in. */
function convolutionWeights(call: OperatorCall): string[] {
  const weight = call.constant(1);
  const bias = call.has(2) ? call.constant(2) : null;
  const norm = call.follower('bantam::batch_norm');
  if (weight === null || (call.has(2) && bias === null) || norm === undefined) {
    return [call.input(1), ...(call.has(2) ? [call.input(2)] : [])];
  }
  call.foldFollower();
  return scope(() => {
    const { scale, shift } = batchNormScale(norm);
    const merged = mul(weight, reshape(scale, [-1, 1, 1, 1]));
    const moved = bias === null ? shift : add(mul(bias, scale), shift);
    return [call.weight(call.nameOf(1), merged), call.weight(norm.nameOf(2), moved)];
  });
}

function convolution(call: OperatorCall, { stride, padding, dilation, groups }: Geometry): string {
  return call.graph.add('Conv', [call.input(0), ...convolutionWeights(call)], {
    strides: stride,
    pads: [...padding, ...padding],
    dilations: dilation,
    group: groups,
    kernel_shape: call.tensor(1).shape.slice(2).map(Number),
  });
}

function conv2d(call: OperatorCall): string {
  return convolution(call, {
    stride: call.numbers(3),
    padding: call.numbers(4),
    dilation: call.numbers(5),
    groups: call.number(6),
  });
}

function depthwise(call: OperatorCall): string {
  const [channels, , ...kernel] = call.tensor(1).shape.map(Number);
  return convolution(call, {
    stride: [1, 1],
    padding: kernel.map((length) => (length - 1) / 2),
    dilation: [1, 1],
    groups: Number(channels),
  });
}

function poolAttributes(call: OperatorCall) {
  const padding = call.has(3) ? call.numbers(3) : [0, 0];
  return {
    kernel_shape: call.numbers(1),
    strides: call.numbers(2),
    pads: [...padding, ...padding],
  };
}

/** Zeros around the map count as elements of the mean unless told otherwise. */
function averagePool(call: OperatorCall): string {
  const counted = !call.has(5) || call.boolean(5);
  return call.graph.add('AveragePool', [call.input(0)], {
    ...poolAttributes(call),
    count_include_pad: Number(counted),
  });
}

/** A reduction over the dimensions that argument `dims` lists, all if it is none. */
function reduction(op: string, { dims, keep }: { dims: number; keep: number }) {
  return (call: OperatorCall): string => {
    const { graph, resultType } = call;
    const x = call.inputAs(0, resultType);
    const inputs = call.has(dims) ? [x, graph.integers(call.numbers(dims))] : [x];
    return graph.add(op, inputs, { keepdims: Number(call.boolean(keep)) });
  };
}

/** The first of the largest elements. Runtimes have it for int32, not for all for int64. */
function argmax(call: OperatorCall): string {
  const { dtype } = call.tensor(0);
  const x = dtype === 'int64' ? call.inputAs(0, 'int32') : call.input(0);
  return call.graph.add('ArgMax', [x], {
    axis: call.number(1),
    keepdims: Number(call.boolean(2)),
    select_last_index: 0,
  });
}

/** All elements of a dimension in order, with their indices. */
function sort(call: OperatorCall): string[] {
  const { graph } = call;
  const { shape } = call.tensor(0);
  const axis = call.dim(2, shape.length);
  const length = call.shape([at(shape, axis)]);
  return graph.addSeveral('TopK', [call.input(0), length], {
    outputs: 2,
    attributes: { axis, largest: Number(call.boolean(3)), sorted: 1 },
  });
}

export const layers: Lowerings = {
  'bantam::linear': (call) => withResidual(call, linear(call, call.input(0), 1, 2), 3),
  'bantam::mlp': mlp,
  'aten::matmul': (call) => call.graph.add('MatMul', [call.input(0), call.input(1)]),
  'aten::bmm': (call) => call.graph.add('MatMul', [call.input(0), call.input(1)]),
  'aten::baddbmm': scaledProduct,
  'bantam::layer_norm': layerNorm,
  'bantam::batch_norm': batchNorm,
  'aten::conv2d': conv2d,
  'aten::convolution': (call) =>
    convolution(call, {
      stride: call.numbers(3),
      padding: call.numbers(4),
      dilation: call.numbers(5),
      groups: call.number(8),
    }),
  'bantam::depthwise_conv2d': depthwise,
  'aten::avg_pool2d': averagePool,
  'aten::max_pool2d': (call) => call.graph.add('MaxPool', [call.input(0)], poolAttributes(call)),
  'aten::embedding': (call) =>
    call.graph.add('Gather', [call.input(0), call.input(1)], { axis: 0 }),
  'aten::softmax.int': (call) =>
    call.graph.add('Softmax', [call.input(0)], { axis: call.number(1) }),
  'aten::sum.dim_IntList': reduction('ReduceSum', { dims: 1, keep: 2 }),
  'aten::mean.dim': reduction('ReduceMean', { dims: 1, keep: 2 }),
  'aten::linalg_vector_norm': reduction('ReduceL2', { dims: 2, keep: 3 }),
  'aten::cumsum': (call) =>
    call.graph.add('CumSum', [call.inputAs(0, call.resultType), call.graph.index(call.number(1))]),
  'aten::argmax': argmax,
  'aten::sort.stable': sort,
};
