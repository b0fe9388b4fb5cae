import { native, type TensorHandle } from './native.js';
import { scope } from './scope.js';
import { Tensor } from './tensor.js';

let rerunning = false;

const tensorSlot = Symbol('tensor');

/**
 * True while the function of a {@link checkpoint} runs for the second time, when it has already
 * changed state such as running statistics.
 */
export function isRerunning(): boolean {
  return rerunning;
}

/**
 * `fn(...inputs)`, keeping no intermediate tensor for the backward pass, which runs `fn` again
 * when it needs them (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"): the memory of
 * the inputs, for a second forward pass.
 *
 * Gradients are the same bit for bit, since the graph is that of the first run. In the second run
 * random generators have their states of the first run (and afterwards their later ones), autocast is what it was,
 * and batch norms leave their running statistics alone. Without gradients there is no second
 * run. Gradient checkpoints may be nested.
 *
 * `fn` must compute the same both times. It may use parameters and whatever else is still there at the
 * backward pass; a tensor that a scope frees before must be one of `inputs`, which may be of any kind.
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
