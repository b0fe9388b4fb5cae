/** Computations of fixed shapes that are recorded once and run again in one call of the addon. */
import { noGrad } from './autograd.js';
import { native, type ProgramHandle, type TensorHandle } from './native.js';
import { Tensor } from './tensor.js';

/**
 * The operators of a computation on the CPU without gradients, to be run again on other tensors of the same
 * shapes and types. Of a small model the calls from JavaScript take longer than the operators.
 *
 * Other tensors that it reads, such as weights, stay those that it was recorded with: changes of their
 * elements count, other tensors in their place do not.
 */
export class Program implements Disposable {
  readonly #handle: ProgramHandle;

  private constructor(handle: ProgramHandle) {
    this.#handle = handle;
  }

  /**
   * Runs `body`, and records it.
   *
   * @returns the outputs of this run, and the program; null where another run could differ, because `body` read
   * elements, drew random numbers, changed other tensors, or has outputs that it did not make.
   */
  static record(
    inputs: readonly Tensor[],
    body: () => readonly Tensor[],
  ): { outputs: readonly Tensor[]; program: Program | null } {
    return noGrad(() => {
      native.beginProgram(inputs.map(({ handle }) => handle));
      let outputs: readonly Tensor[];
      let handles: TensorHandle[];
      try {
        outputs = body();
        handles = outputs.map(({ handle }) => handle);
      } catch (error) {
        native.endProgram(null);
        throw error;
      }
      const handle = native.endProgram(handles);
      return { outputs, program: handle === null ? null : new Program(handle) };
    });
  }

  /**
   * The outputs for other inputs, which have no gaps in memory.
   *
   * @throws RangeError if an input has another shape, type or device than the recorded one.
   */
  run(inputs: readonly Tensor[]): Tensor[] {
    const handles = inputs.map(({ handle }) => handle);
    return native.runProgram(this.#handle, handles).map((handle) => new Tensor(handle));
  }

  /** Frees the tensors that it keeps. */
  dispose(): void {
    native.disposeProgram(this.#handle);
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
