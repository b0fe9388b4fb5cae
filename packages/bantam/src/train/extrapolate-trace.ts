import { footprint, type AllocationTrace } from '@bantam/torch';

/** The memory that the same work takes for batches of several sizes. */
export interface SizedTrace {
  readonly size: number;
  readonly trace: AllocationTrace;
}

/**
 * The most memory that work takes for a batch of `size` samples, from recordings of it for three
 * small batches of other sizes, in steps of equal length. Every block of a batch of n is c·n² bytes
 * large (similarities) or a + b·n (weights, activations), found from the three; then the blocks are
 * handed out anew as the engine would. Where the recordings are not of the same blocks, their own most memory is
 * continued along its steepest line instead, a tenth added.
 */
export function footprintAt(traces: readonly SizedTrace[], size: number): number {
  const [first, second, third] = traces;
  if (first === undefined || second === undefined || third === undefined) {
    throw new RangeError('Three recordings are needed.');
  }
  const grown = (a: number, b: number, c: number): number => {
    const factors = [a / first.size ** 2, b / second.size ** 2, c / third.size ** 2];
    const [factor = 0] = factors;
    if (factors.every((other) => other === factor)) return factor * size ** 2;
    return a + ((c - a) / (third.size - first.size)) * (size - first.size);
  };
  const same =
    first.trace.length === second.trace.length && second.trace.length === third.trace.length;
  if (!same) {
    const [a, b, c] = [first, second, third].map(({ trace }) => footprint(trace)) as [
      number,
      number,
      number,
    ];
    return 1.1 * (c + (Math.max(c - b, b - a) / (third.size - second.size)) * (size - third.size));
  }
  const scaled = third.trace.map((event, i) => {
    if (event < 0) return event;
    const [a = 0, b = 0] = [first.trace[i], second.trace[i]];
    return a < 0 || b < 0 ? event : Math.max(0, Math.ceil(grown(a, b, event)));
  });
  return footprint(scaled);
}
