import { native, type TensorHandle } from './native.js';
import { scope } from './scope.js';
import { Tensor } from './tensor.js';

let rerunning = false;

const tensorSlot = Symbol('tensor');

/**
 * Whether the function of a {@link checkpoint} is running for the second time. What a forward pass
 * changes, such as running statistics, has been changed then.
 */
export function isRerunning(): boolean {
  return rerunning;
}

/**
 * `fn(...inputs)`, keeping none of the tensors in between for the backward pass, which runs `fn` again
 * when it needs them (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): the memory of
 * the inputs, for a second forward pass.
 *
 * Gradients are the same bit for bit, since the graph is that of the first run. In the second run
 * random generators stand where they stood (and afterwards where they should), autocast is what it was,
 * and batch norms leave their running statistics alone. Where nothing has a gradient, nothing runs
 * again. Checkpoints may be nested.
 *
 * `fn` must compute the same both times. It may use parameters and whatever else is still there at the
 * backward pass; a tensor that a scope frees before must be one of `inputs`, which may be of any kind.
 * On the CPU only.
 *
 * @throws libtorch's error, in the backward pass, where the second run kept other tensors than the
 * first; what `fn` throws, in either run.
 */
export function checkpoint<Inputs extends readonly unknown[], Result>(
  fn: (...inputs: Inputs) => Result,
  inputs: Inputs,
): Result {
  const tensors = inputs.filter((input) => input instanceof Tensor);
  // The tensors themselves are not held, so that scopes can free them.
  const slots = inputs.map((input) => (input instanceof Tensor ? tensorSlot : input));
  const again = (handles: readonly TensorHandle[]): void => {
    const before = rerunning;
    rerunning = true;
    try {
      scope(() => {
        const given = handles.map((handle) => new Tensor(handle)).values();
        const same = slots.map((slot) => (slot === tensorSlot ? given.next().value : slot));
        fn(...(same as readonly unknown[] as Inputs));
      });
    } finally {
      rerunning = before;
    }
  };
  native.beginCheckpoint(
    tensors.map(({ handle }) => handle),
    again,
  );
  try {
    return fn(...inputs);
  } finally {
    native.endCheckpoint();
  }
}
