/** A tower's computation for any batch and text length, from recordings for some. */
import {
  at,
  record,
  type DType,
  type RecordedArgument,
  type RecordedCall,
  type Recording,
  type Tensor,
  type TypedArray,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { fitSize, type Point, type Size } from './sizes.js';

/** An argument of a call, whose numbers may depend on the inputs. */
export type ProgramArgument =
  | { readonly tensor: number }
  | Size
  | bigint
  | boolean
  | string
  | null
  | undefined
  | readonly ProgramArgument[];

/** A call of an operator. */
export interface ProgramCall {
  readonly operator: string;
  readonly args: readonly ProgramArgument[];
  /** Ids of the results. */
  readonly results: readonly number[];
  /** The operator gives a list of tensors, or several, not one. */
  readonly several: boolean;
}

/** Type and shape of a tensor. */
export interface ProgramTensor {
  readonly dtype: DType;
  readonly shape: readonly Size[];
}

/** A computation as a list of operators. */
export interface Program {
  readonly calls: readonly ProgramCall[];
  /** By id. */
  readonly tensors: readonly ProgramTensor[];
  /** Elements of tensors that were made from numbers, by id. */
  readonly values: ReadonlyMap<number, TypedArray>;
  /** Names of the parameters and buffers, by id. */
  readonly weights: ReadonlyMap<number, string>;
  readonly input: number;
  readonly output: number;
}

/** A computation for {@link recordProgram}. */
export interface Recordable {
  /** Parameters and buffers by name; they have no elements, being on the device `meta`. */
  readonly weights: ReadonlyMap<string, Tensor>;
  /** An input of those lengths. */
  readonly input: (point: Point) => Tensor;
  readonly run: (input: Tensor) => Tensor;
}

interface Run {
  readonly recording: Recording;
  readonly input: number;
  readonly output: number;
}

/**
 * Records `run` once for each of `points` and generalises: all recordings must have the same
 * operators in the same order, and every number that differs between them must be a polynomial of
 * batch and text length, see {@link fitSize}. Nothing is taken on trust: the points beyond those that
 * determine the polynomials check them.
 *
 * @throws BantamError if the recordings differ in anything else.
 */
export function recordProgram(subject: Recordable, points: readonly Point[]): Program {
  const runs = points.map((point) => recordOnce(subject, point));
  const first = at(runs, 0);
  const recordings = runs.map(({ recording }) => recording);
  requireSameCalls(recordings);
  const { calls, tensors, values } = first.recording;
  requireSameValues(recordings);
  return {
    calls: calls.map((call, i) => ({
      operator: call.operator,
      several: call.several,
      results: call.results,
      args: call.args.map((_, k) =>
        generalise(
          recordings.map((recording) => at(at(recording.calls, i).args, k)),
          points,
          call,
        ),
      ),
    })),
    tensors: tensors.map(({ dtype, shape }, id) => ({
      dtype,
      shape: shape.map((_, dim) =>
        fitSize(
          recordings.map((recording) => at(at(recording.tensors, id).shape, dim)),
          points,
        ),
      ),
    })),
    values,
    weights: new Map(
      [...subject.weights].flatMap(([name, tensor]): [number, string][] => {
        const id = first.recording.idOf(tensor);
        return id === undefined ? [] : [[id, name]];
      }),
    ),
    input: first.input,
    output: first.output,
  };
}

function recordOnce({ weights, input, run }: Recordable, point: Point): Run {
  const given = input(point);
  let output = -1;
  const recording = record((open) => {
    open.enter(given);
    for (const tensor of weights.values()) open.enter(tensor);
    output = open.enter(run(given));
  });
  return { recording, input: 0, output };
}

/** @throws BantamError unless all recordings have the same operators on the same tensors. */
function requireSameCalls(recordings: readonly Recording[]): void {
  const signature = ({ calls, tensors }: Recording) =>
    JSON.stringify([
      calls.map(({ operator, args, results }) => [operator, args.map(structure), results]),
      tensors.map(({ dtype, shape }) => [dtype, shape.length]),
    ]);
  const [first, ...others] = recordings.map(signature);
  if (others.every((other) => other === first)) return;
  throw new BantamError(
    'This model computes with other operators for other batches or text lengths, so it cannot be exported.',
  );
}

/** The argument without its numbers. */
function structure(arg: RecordedArgument): unknown {
  if (typeof arg === 'number') return 0;
  if (typeof arg === 'bigint') return String(arg);
  if (Array.isArray(arg)) return (arg as readonly RecordedArgument[]).map(structure);
  return arg ?? null;
}

function requireSameValues(recordings: readonly Recording[]): void {
  const [first, ...others] = recordings.map(({ values }) => values);
  for (const [id, array] of first ?? []) {
    const key = array.join();
    if (others.every((values) => values.get(id)?.join() === key)) continue;
    throw new BantamError(
      'This model makes tensors whose numbers depend on the batch or the text length, so it cannot be exported.',
    );
  }
}

function isList(arg: RecordedArgument): arg is readonly RecordedArgument[] {
  return Array.isArray(arg);
}

function generalise(
  args: readonly RecordedArgument[],
  points: readonly Point[],
  call: RecordedCall,
): ProgramArgument {
  const arg = args[0];
  if (typeof arg === 'number') return fitSize(args.map(Number), points);
  if (!isList(arg)) return arg;
  const lists = args.filter(isList);
  return arg.map((_, i) =>
    generalise(
      lists.map((list) => at(list, i)),
      points,
      call,
    ),
  );
}

/** Ids of the tensors among the arguments, those in lists included. */
export function tensorsAmong(args: readonly ProgramArgument[]): number[] {
  return args.flatMap((arg) => {
    if (Array.isArray(arg)) return tensorsAmong(arg as readonly ProgramArgument[]);
    return typeof arg === 'object' && arg !== null && 'tensor' in arg ? [arg.tensor] : [];
  });
}
