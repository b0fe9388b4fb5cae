/** Calls of the addon's own operators, with arguments that an input's bytes choose. */
import {
  fromTypedArray,
  noGrad,
  Operator,
  scope,
  transpose,
  type Argument,
  type DType,
} from '@bantam/torch';

/** Operators of `native/kernels` that take tensors. */
const names = [
  ...['attention', 'attention_applies', 'batch_norm', 'depthwise_conv2d', 'layer_norm', 'linear'],
  ...['mlp', 'pack_int8', 'linear_int8', 'mlp_int8', 'normalize_pixels', 'pack_linear'],
  ...['linear_packed', 'fused_conv', 'add_fused_conv_', 'mlp_packed', 'quick_gelu', 'pack_rows'],
  ...['unpack_rows', 'quick_gelu_backward', 'batch_norm_forward', 'batch_norm_backward'],
  ...['pack_panels', 'conv_panels'],
] as const;

const operators = names.map((name) => new Operator(`bantam::${name}`));

const sizes = [0, 1, 2, 3, 8, 16, 31, 32, 33, 64, 96, 100] as const;
// The largest take more memory than there is, whatever they count.
const integers = [1, 2, 3, 4, 0, -1, 8, 32, 33, 1000, 2 ** 40, -(2 ** 40), 2 ** 53 - 1] as const;
const numbers = [1e-5, 0, 1, -1, NaN, Infinity] as const;
const dtypes = {
  float32: (bytes) => new Float32Array(bytes),
  bfloat16: (bytes) => new Uint16Array(bytes),
  int8: (bytes) => new Int8Array(bytes),
  uint8: (bytes) => new Uint8Array(bytes),
} as const satisfies Partial<Record<DType, (count: number) => unknown>>;

/** The types of a schema's arguments, such as `Tensor`, `int[2]`, `Tensor?`. */
function argumentTypes(schema: string): string[] {
  const list = schema.slice(schema.indexOf('(') + 1, schema.lastIndexOf(' ->') - 1);
  return list.split(', ').map((each) => each.replace(/\(\w!\)/, '').split(' ')[0] ?? '');
}

/** Reads an input's bytes one by one; zeros follow. */
class Choices {
  #at = 0;

  constructor(readonly bytes: Buffer) {}

  next(): number {
    return this.bytes[this.#at++] ?? 0;
  }

  of<T>(items: readonly T[]): T {
    const item = items[this.next() % items.length];
    if (item === undefined) throw new RangeError('There is nothing to choose from.');
    return item;
  }
}

function tensorFrom(choices: Choices, common: readonly number[]): Argument {
  const dtype = choices.of(['float32', 'bfloat16', 'int8', 'uint8'] as const);
  // Most sizes are those of the other tensors, or nothing would ever fit.
  const size = (): number => (choices.next() < 200 ? choices.of(common) : choices.of(sizes));
  const shape = Array.from({ length: choices.next() % 5 }, size);
  const values = dtypes[dtype](shape.reduce((product, length) => product * length, 1));
  values.fill(choices.next());
  const made = fromTypedArray(values, { shape, dtype });
  return shape.length >= 2 && choices.next() % 4 === 0 ? transpose(made, -1, -2) : made;
}

function argumentFrom(type: string, choices: Choices, common: readonly number[]): Argument {
  if (type.endsWith('?') && choices.next() % 2 === 0) return null;
  const [, element = type, list] = /^(\w+)(\[\d*\])?\??$/.exec(type) ?? [];
  if (list !== undefined) {
    const length = choices.next() % 4;
    return Array.from({ length }, () => argumentFrom(element, choices, common));
  }
  switch (element) {
    case 'Tensor':
      return tensorFrom(choices, common);
    case 'int':
      return choices.of(integers);
    case 'float':
      return choices.of(numbers);
    case 'bool':
      return choices.next() % 2 === 0;
    default:
      throw new RangeError(`There are no arguments of type ${type}.`);
  }
}

/** Calls the operator that the first byte names. */
export function callOperator(input: Buffer): void {
  const choices = new Choices(input);
  const operator = choices.of(operators);
  const common = [choices.of(sizes), choices.of(sizes)];
  scope(() => {
    noGrad(() => {
      const types = argumentTypes(operator.schema);
      operator.inPlace(...types.map((type) => argumentFrom(type, choices, common)));
    });
  });
}
