import { TorchError } from './errors.js';

/** Resources made in each open scope, innermost last. */
const open: Set<Disposable>[] = [];

/** Enters a new resource into the innermost scope. */
export function track(resource: Disposable): void {
  open.at(-1)?.add(resource);
}

/** Removes a tensor from every open scope, so that it lives until it is disposed. Returns it. */
export function keep<T extends Disposable>(tensor: T): T {
  for (const made of open) made.delete(tensor);
  return tensor;
}

/** Collects the objects within arrays, sets, maps and plain objects: {@link scope} frees none of them. */
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
 * (searched through arrays, maps and plain objects), which pass to the enclosing scope, if there is one.
 *
 * @throws TorchError when `body` is asynchronous: other code would run inside its scope.
 */
export function scope<T>(body: () => T): T {
  const made = new Set<Disposable>();
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
    for (const resource of made) {
      if (survivors.has(resource)) track(resource);
      else resource[Symbol.dispose]();
    }
  }
}
