import { TorchError } from './errors.js';
import type { Tensor } from './tensor.js';

/** The tensors made in each open scope, innermost last. */
const open: Set<Tensor>[] = [];

/** Enters a new tensor into the innermost scope. */
export function track(tensor: Tensor): void {
  open.at(-1)?.add(tensor);
}

/** Takes a tensor out of every open scope: it lives until it is disposed. Returns it. */
export function keep<T extends Tensor>(tensor: T): T {
  for (const made of open) made.delete(tensor);
  return tensor;
}

/** What {@link scope} looks through for tensors to let live: arrays, maps and plain objects. */
function collect(value: unknown, into: Set<unknown>): void {
  if (typeof value !== 'object' || value === null || into.has(value)) return;
  into.add(value);
  if (Array.isArray(value) || value instanceof Set) {
    for (const item of value) collect(item, into);
  } else if (value instanceof Map) {
    for (const item of value.values()) collect(item, into);
  } else {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) {
      for (const item of Object.values(value)) collect(item, into);
    }
  }
}

/**
 * Runs `body` and frees every tensor that was made in it, except those in the value it returns
 * (searched through arrays, maps and plain objects), which pass to the scope around, if there is one.
 *
 * @throws TorchError when `body` is asynchronous: other code would run inside its scope.
 */
export function scope<T>(body: () => T): T {
  const made = new Set<Tensor>();
  open.push(made);
  const survivors = new Set<unknown>();
  try {
    const result = body();
    if (result instanceof Promise) {
      throw new TorchError('scope() takes a synchronous function; await outside of it.');
    }
    collect(result, survivors);
    return result;
  } finally {
    open.pop();
    for (const tensor of made) {
      if (survivors.has(tensor)) track(tensor);
      else tensor.dispose();
    }
  }
}
