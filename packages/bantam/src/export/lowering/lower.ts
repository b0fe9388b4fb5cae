/** From a recorded program to nodes of ONNX. */
import { noGrad, Operator, type Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { tensorsAmong, type ProgramArgument, type ProgramCall } from '../record/program.js';
import { isDynamic } from '../record/sizes.js';
import { elementwise } from './elementwise.js';
import { GraphValues, type GraphValuesOptions } from './graph-values.js';
import { layers } from './layers.js';
import type { Lowerings } from './lowerings.js';
import { OperatorCall } from './operator-call.js';
import { shaping } from './shaping.js';

const lowerings: Lowerings = { ...elementwise, ...shaping, ...layers };

/**
 * Adds a program's operators to a graph, and gives the value of its output. Operators on known
 * elements alone, such as those that arrange a weight, are computed here and now.
 *
 * @throws BantamError naming an operator that has no translation.
 */
export function lower(options: GraphValuesOptions): string {
  const values = new GraphValues(options);
  noGrad(() => {
    for (const call of options.program.calls) {
      if (isKnown(call, values)) compute(call, values);
      else translate(call, values);
    }
  });
  return values.value(options.program.output);
}

/** True if the elements of all arguments are known, and no size depends on the inputs. */
function isKnown({ args }: ProgramCall, values: GraphValues): boolean {
  return (
    tensorsAmong(args).every((id) => values.constant(id) !== null) && !args.some(dependsOnInputs)
  );
}

function dependsOnInputs(arg: ProgramArgument): boolean {
  if (Array.isArray(arg)) return (arg as readonly ProgramArgument[]).some(dependsOnInputs);
  return isDynamic(arg);
}

function compute({ operator, args, results, several }: ProgramCall, values: GraphValues): void {
  const [name = '', overload = ''] = operator.split('.');
  const known = new Operator(name, overload);
  const given = args.map((arg) => toArgument(arg, values));
  const made = several ? known.tensors(...given) : [known.tensor(...given)];
  const [source] = tensorsAmong(args);
  results.forEach((id, i) => {
    const tensor = made[i];
    if (tensor !== undefined) values.setConstant(id, tensor, source);
  });
}

type Known = Tensor | number | bigint | boolean | string | null | undefined | readonly Known[];

/** The argument with elements in place of tensors; what was made on `meta` is made on the CPU. */
function toArgument(arg: ProgramArgument, values: GraphValues): Known {
  if (arg === 'meta') return 'cpu';
  if (isDynamic(arg)) throw new RangeError('A size depends on the inputs.');
  if (Array.isArray(arg)) {
    return (arg as readonly ProgramArgument[]).map((item) => toArgument(item, values));
  }
  if (typeof arg === 'object' && arg !== null && 'tensor' in arg)
    return values.constant(arg.tensor);
  return arg as Exclude<Known, Tensor | readonly Known[]>;
}

function translate(call: ProgramCall, values: GraphValues): void {
  const lowering = lowerings[call.operator];
  if (lowering === undefined) {
    throw new BantamError(
      `This model computes with ${call.operator}, which has no translation to ONNX; report it, or export a model with another tower.`,
    );
  }
  const made = lowering(new OperatorCall(call, values));
  const names = typeof made === 'string' ? [made] : made;
  call.results.forEach((id, i) => {
    const name = names[i];
    if (name !== undefined) values.setValue(id, name);
  });
}
