/** Calls of the addon's own operators, with arguments that an input's bytes choose. */
import {
  fromTypedArray,
  noGrad,
  Operator,
  scope,
  transpose,
  type Argument,
  type DType,
  type Tensor,
} from '@bantam/torch';

/** Operators of `native/kernels` that take tensors. */
const names = [
  ...['attention', 'attention_applies', 'batch_norm', 'depthwise_conv2d', 'layer_norm', 'linear'],
  ...['mlp', 'pack_int8', 'linear_int8', 'mlp_int8', 'normalize_pixels', 'pack_linear'],
  ...['linear_packed', 'fused_conv', 'add_fused_conv_', 'mlp_packed', 'quick_gelu', 'pack_rows'],
  ...['unpack_rows', 'quick_gelu_backward', 'batch_norm_forward', 'batch_norm_backward'],
  ...['pack_panels', 'conv_panels', 'average_pool', 'attention_pool'],
] as const;

const operators = names.map((name) => new Operator(`bantam::${name}`));

const packPanels = new Operator('bantam::pack_panels');
const packInt8 = new Operator('bantam::pack_int8');

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
  const turned = shape.length >= 2 && choices.next() % 4 === 0 ? transpose(made, -1, -2) : made;
  return choices.next() % 4 === 0 ? packed(turned) : turned;
}

/** A small weight in the order of a product, which no tensor has by chance; others unchanged. */
function packed(weight: Tensor): Tensor {
  if (weight.size > 2 ** 20) return weight;
  if (weight.dtype === 'int8') return weight.rank === 2 ? packInt8.tensor(weight) : weight;
  return weight.rank === 2 || weight.rank === 4 ? packPanels.tensor(weight) : weight;
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

/** A tensor of a call that fits: its type, its shape, and whether it is packed. */
type Sample = readonly [dtype: number, shape: readonly number[], packed?: boolean];

/** The bytes of an argument: of a tensor or a list of them, of null, or of the place of a number. */
function bytesOf(argument: Sample | readonly Sample[] | null | number): number[] {
  if (argument === null) return [0];
  if (typeof argument === 'number') return [argument];
  if (typeof argument[0] !== 'number') {
    const list = argument as readonly Sample[];
    return [list.length, ...list.flatMap(bytesOf)];
  }
  const [dtype, shape, isPacked = false] = argument as Sample;
  const lengths = shape.flatMap((length) => [255, sizes.indexOf(length as 0)]);
  return [dtype, shape.length, ...lengths, 1, ...(shape.length >= 2 ? [1] : []), isPacked ? 0 : 1];
}

/** Inputs of {@link callOperator} whose arguments fit each other, for operators that chance rarely serves. */
export function fittingCalls(): Buffer[] {
  const [float32, bfloat16, int8] = [0, 1, 2];
  const calls: [(typeof names)[number], ...Parameters<typeof bytesOf>[0][]][] = [
    ...[float32, bfloat16].flatMap((dtype) => {
      const weight: Sample = [dtype, [64, 64], true];
      const kernel: Sample = [dtype, [64, 8, 3, 3], true];
      return [
        [
          'attention_pool',
          [dtype, [2, 2, 64]],
          [0, [3, 64]],
          weight,
          null,
          weight,
          weight,
          null,
          1,
        ],
        ['linear_packed', [dtype, [3, 64]], weight, null, null],
        ['mlp_packed', [dtype, [3, 64]], weight, null, weight, null, null, 1],
        ['average_pool', [dtype, [2, 16, 8, 8]], 1],
        ['pack_panels', kernel],
      ] as [(typeof names)[number], ...Parameters<typeof bytesOf>[0][]][];
    }),
    ['linear_int8', [float32, [3, 64]], [[int8, [64, 64], true]], [float32, [64]], null, null],
    [
      'mlp_int8',
      ...([[float32, [3, 64]], [int8, [64, 64], true], [float32, [64]], null] as const),
      ...([[int8, [64, 64], true], [float32, [64]], null, null, 1] as const),
    ],
  ];
  return calls.map(([name, ...rest]) =>
    Buffer.from([names.indexOf(name), 0, 0, ...rest.flatMap(bytesOf)]),
  );
}
