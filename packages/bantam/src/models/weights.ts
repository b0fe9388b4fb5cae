import { loadSafetensors, reshape, scope, TorchError, type Tensor } from '@bantam/torch';
import { BantamError } from '../errors.js';
import type { Clip } from './clip.js';
import { fromMobileClip, isMobileClip } from './formats/mobileclip.js';

/**
 * Copies the weights in a safetensors file into a model, whatever their floating-point type. They
 * have Bantam's names or those of {@link fromMobileClip}.
 *
 * @throws BantamError when the file is damaged, or holds another model: it names the first tensors
 * that are missing, left over, or of another shape.
 */
export function loadWeights(model: Clip, file: string): void {
  scope(() => {
    const tensors = withScalarScale(readTensors(file));
    const source = isMobileClip(tensors) ? fromMobileClip(tensors, model.config) : tensors;
    const differences = compare(model.stateDict(), source);
    if (differences.length === 0) {
      model.loadStateDict(source);
      return;
    }
    const [first = '', second, ...rest] = differences;
    const more = rest.length === 0 ? '' : `, and ${rest.length} more differ`;
    throw new BantamError(
      `${file} holds another model than the configuration beside it describes ` +
        `(${second === undefined ? first : `${first}; ${second}`}${more}); put configuration and weights of one model together.`,
    );
  });
}

function readTensors(file: string): ReadonlyMap<string, Tensor> {
  try {
    return loadSafetensors(file).tensors;
  } catch (error) {
    if (!(error instanceof TorchError)) throw error;
    throw new BantamError(error.message);
  }
}

/** OpenCLIP has written the logit scale both as a scalar and as a list of one. */
function withScalarScale(tensors: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
  const scale = tensors.get('logit_scale');
  if (scale?.shape.join() !== '1') return tensors;
  return new Map(tensors).set('logit_scale', reshape(scale, []));
}

function compare(own: ReadonlyMap<string, Tensor>, given: ReadonlyMap<string, Tensor>): string[] {
  const list = ({ shape }: Tensor) => `[${shape.join(', ')}]`;
  const wrong = [...own].flatMap(([name, target]) => {
    const tensor = given.get(name);
    if (tensor === undefined) return [`${name} ${list(target)} is missing`];
    if (list(tensor) === list(target)) return [];
    return [`${name} is ${list(tensor)} instead of ${list(target)}`];
  });
  const left = [...given.keys()].filter((name) => !own.has(name));
  return [...wrong, ...left.map((name) => `${name} is unknown`)];
}
