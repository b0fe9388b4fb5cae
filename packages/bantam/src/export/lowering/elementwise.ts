/** Operators that work element by element, and activations. */
import type { ElementType } from '../onnx/element-types.js';
import type { OperatorCall } from './operator-call.js';
import type { Lowerings } from './lowerings.js';

const floating: readonly ElementType[] = ['float32', 'float64', 'float16'];

/** A node on two tensors, both in the type of the result. */
function binary(op: string) {
  return (call: OperatorCall): string => {
    const { resultType } = call;
    const a = call.inputAs(0, resultType);
    const b = call.inputAs(1, resultType);
    if (resultType === 'bool') return call.graph.add('And', [a, b]);
    const scale = call.argument(2);
    const scaled =
      typeof scale === 'number' && scale !== 1
        ? call.graph.add('Mul', [b, scalar(call, scale, resultType)])
        : b;
    return call.graph.add(op, [a, scaled]);
  };
}

/** A node on a tensor and a number. */
function withNumber(op: string) {
  return (call: OperatorCall): string => {
    const { resultType } = call;
    return call.graph.add(op, [
      call.inputAs(0, resultType),
      scalar(call, call.number(1), resultType),
    ]);
  };
}

function scalar(call: OperatorCall, value: number, type: ElementType): string {
  return type === 'int64'
    ? call.graph.index(value)
    : call.cast(call.graph.number(value), 'float32', type);
}

/** A comparison of two tensors, in their common type. */
function comparison(op: string) {
  return (call: OperatorCall): string => {
    const types = [call.tensor(0).dtype, call.tensor(1).dtype];
    const common = floating.find((type) => types.includes(type)) ?? 'int64';
    return call.graph.add(op, [call.inputAs(0, common), call.inputAs(1, common)]);
  };
}

/** A comparison of a tensor with a number. */
function comparisonWithNumber(op: string) {
  return (call: OperatorCall): string => {
    const isFloat = floating.some((type) => type === call.tensor(0).dtype);
    const type = isFloat ? 'float32' : 'int64';
    return call.graph.add(op, [call.inputAs(0, type), scalar(call, call.number(1), type)]);
  };
}

function unary(op: string) {
  return (call: OperatorCall): string => call.graph.add(op, [call.input(0)]);
}

/** ½x(1 + erf(x/√2)), in the order of nodes that runtimes recognise and fuse. */
function exactGelu({ graph }: OperatorCall, x: string): string {
  const erf = graph.add('Erf', [graph.add('Div', [x, graph.number(Math.SQRT2)])]);
  const gate = graph.add('Add', [erf, graph.number(1)]);
  return graph.add('Mul', [graph.add('Mul', [x, gate]), graph.number(0.5)]);
}

/** ½x(1 + tanh(√(2/π)(x + 0.044715x³))) */
function tanhGelu({ graph }: OperatorCall, x: string): string {
  const square = graph.add('Mul', [x, x]);
  const inner = graph.add('Add', [
    graph.add('Mul', [square, graph.number(0.044715)]),
    graph.number(1),
  ]);
  const scaled = graph.add('Mul', [
    graph.add('Mul', [x, inner]),
    graph.number(Math.sqrt(2 / Math.PI)),
  ]);
  const gate = graph.add('Add', [graph.add('Tanh', [scaled]), graph.number(1)]);
  return graph.add('Mul', [graph.add('Mul', [x, gate]), graph.number(0.5)]);
}

/** x·σ(1.702x) */
function quickGelu({ graph }: OperatorCall, x: string): string {
  const gate = graph.add('Sigmoid', [graph.add('Mul', [x, graph.number(1.702)])]);
  return graph.add('Mul', [x, gate]);
}

/** The activation with that number in `bantam::mlp`. */
export function activation(call: OperatorCall, code: number, x: string): string {
  switch (code) {
    case 1:
      return exactGelu(call, x);
    case 2:
      return tanhGelu(call, x);
    case 3:
      return quickGelu(call, x);
    case 4:
      return call.graph.add('Relu', [x]);
    default:
      throw new RangeError(`There is no activation ${code}.`);
  }
}

function power(call: OperatorCall): string {
  const exponent = call.number(1);
  if (exponent === -1) return call.graph.add('Reciprocal', [call.input(0)]);
  return call.graph.add('Pow', [call.input(0), call.graph.number(exponent)]);
}

function select(call: OperatorCall): string {
  const { resultType } = call;
  return call.graph.add('Where', [
    call.input(0),
    call.inputAs(1, resultType),
    call.inputAs(2, resultType),
  ]);
}

export const elementwise: Lowerings = {
  'aten::add.Tensor': binary('Add'),
  'aten::sub.Tensor': binary('Sub'),
  'aten::mul.Tensor': binary('Mul'),
  'aten::div.Tensor': binary('Div'),
  'aten::add.Scalar': withNumber('Add'),
  'aten::sub.Scalar': withNumber('Sub'),
  'aten::mul.Scalar': withNumber('Mul'),
  'aten::div.Scalar': withNumber('Div'),
  'aten::pow.Tensor_Scalar': power,
  'aten::neg': unary('Neg'),
  'aten::exp': unary('Exp'),
  'aten::sqrt': unary('Sqrt'),
  'aten::tanh': unary('Tanh'),
  'aten::sigmoid': unary('Sigmoid'),
  'aten::relu': unary('Relu'),
  'aten::gelu': (call) =>
    call.argument(1) === 'tanh' ? tanhGelu(call, call.input(0)) : exactGelu(call, call.input(0)),
  'bantam::quick_gelu': (call) => quickGelu(call, call.input(0)),
  'aten::eq.Tensor': comparison('Equal'),
  'aten::lt.Tensor': comparison('Less'),
  'aten::le.Tensor': comparison('LessOrEqual'),
  'aten::gt.Tensor': comparison('Greater'),
  'aten::ge.Tensor': comparison('GreaterOrEqual'),
  'aten::eq.Scalar': comparisonWithNumber('Equal'),
  'aten::ne.Scalar': (call) => call.graph.add('Not', [comparisonWithNumber('Equal')(call)]),
  'aten::lt.Scalar': comparisonWithNumber('Less'),
  'aten::le.Scalar': comparisonWithNumber('LessOrEqual'),
  'aten::gt.Scalar': comparisonWithNumber('Greater'),
  'aten::logical_and': (call) => call.graph.add('And', [call.input(0), call.input(1)]),
  'aten::where.self': select,
};
