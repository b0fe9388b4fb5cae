import { footprint, type AllocationTrace } from '@bantam/torch';
import { at } from '../../base/at.js';

/** The memory that the same work takes for batches of several sizes. */
export interface SizedTrace {
  readonly size: number;
  readonly trace: AllocationTrace;
}

/** Work for batches of some size: recordings of it for three small ones, at equal intervals. */
export interface Work {
  readonly traces: readonly SizedTrace[];
  /** Samples of the batches that it is extrapolated to. */
  readonly size: number;
}

/**
 * Peak memory of consecutive works, each of which keeps what it did not free. Every block of a batch of
 * n has c·n² bytes (similarities) or a + b·n (weights, activations), found from the three recordings;
 * then the blocks are allocated anew as the allocator would. If the recordings are not of the same
 * blocks, each work's own peak is extrapolated along its steepest line instead, a tenth added.
 */
export function footprintOf(...works: readonly Work[]): number {
  const traces = works.flatMap((work) => extended(work) ?? []);
  if (traces.length === works.length) return footprint(joined(traces));
  return works.reduce((sum, work) => {
    const trace = extended(work);
    return sum + (trace === null ? steepest(work) : footprint(trace));
  }, 0);
}

/** True if recordings are of the same blocks, of any sizes. */
export function sameBlocks(traces: readonly AllocationTrace[]): boolean {
  return traces.every(({ length }) => length === at(traces, 0).length);
}

/** The recordings in turn as one. */
function joined(traces: readonly AllocationTrace[]): AllocationTrace {
  let blocks = 0;
  const events = traces.flatMap((trace) => {
    const before = blocks;
    blocks += trace.filter((event) => event >= 0).length;
    return Array.from(trace, (event) => (event < 0 ? event - before : event));
  });
  return Float64Array.from(events);
}

/** The recording for batches of the wanted size; null if the three are not of the same blocks. */
function extended({ traces, size }: Work): AllocationTrace | null {
  const [first, second, third] = three(traces);
  if (!sameBlocks(traces.map(({ trace }) => trace))) return null;
  const grown = (a: number, b: number, c: number): number => {
    const ratios = [a / first.size ** 2, b / second.size ** 2, c / third.size ** 2];
    const ratio = at(ratios, 0);
    if (ratios.every((other) => other === ratio)) return ratio * size ** 2;
    return a + ((c - a) / (third.size - first.size)) * (size - first.size);
  };
  return third.trace.map((event, i) => {
    if (event < 0) return event;
    const [a, b] = [at(first.trace, i), at(second.trace, i)];
    return a < 0 || b < 0 ? event : Math.max(0, Math.ceil(grown(a, b, event)));
  });
}

function steepest({ traces, size }: Work): number {
  const [first, second, third] = three(traces);
  const [a, b, c] = [footprint(first.trace), footprint(second.trace), footprint(third.trace)];
  return 1.1 * (c + (Math.max(c - b, b - a) / (third.size - second.size)) * (size - third.size));
}

function three(traces: readonly SizedTrace[]): readonly [SizedTrace, SizedTrace, SizedTrace] {
  const [first, second, third] = traces;
  if (first === undefined || second === undefined || third === undefined) {
    throw new RangeError('Three recordings are needed.');
  }
  return [first, second, third];
}
