import { footprint, type AllocationTrace } from '@bantam/torch';

/** The memory that the same work takes for batches of several sizes. */
export interface SizedTrace {
  readonly size: number;
  readonly trace: AllocationTrace;
}

/** Work for batches of some size: recordings of it for three small ones, in steps of equal length. */
export interface Work {
  readonly traces: readonly SizedTrace[];
  /** Samples of the batches that it is to be done for. */
  readonly size: number;
}

/**
 * The most memory that pieces of work take which are done in turn, each of which keeps what it did
 * not give back. Every block of a batch of n is c·n² bytes large (similarities) or a + b·n (weights,
 * activations), found from the three recordings; then the blocks are handed out anew as the engine
 * would. Where the recordings are not of the same blocks, each work's own most memory is continued
 * along its steepest line instead, a tenth added.
 */
export function footprintOf(...works: readonly Work[]): number {
  const traces = works.flatMap((work) => extended(work) ?? []);
  if (traces.length === works.length) return footprint(joined(traces));
  return works.reduce((sum, work) => {
    const trace = extended(work);
    return sum + (trace === null ? steepest(work) : footprint(trace));
  }, 0);
}

/** Whether recordings are of the same blocks, of whatever sizes. */
export function sameBlocks(traces: readonly AllocationTrace[]): boolean {
  return traces.every(({ length }) => length === traces[0]?.length);
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

/** The recording for batches of the wanted size; null where the three are not of the same blocks. */
function extended({ traces, size }: Work): AllocationTrace | null {
  const [first, second, third] = three(traces);
  if (!sameBlocks(traces.map(({ trace }) => trace))) return null;
  const grown = (a: number, b: number, c: number): number => {
    const factors = [a / first.size ** 2, b / second.size ** 2, c / third.size ** 2];
    const [factor = 0] = factors;
    if (factors.every((other) => other === factor)) return factor * size ** 2;
    return a + ((c - a) / (third.size - first.size)) * (size - first.size);
  };
  return third.trace.map((event, i) => {
    if (event < 0) return event;
    const [a = 0, b = 0] = [first.trace[i], second.trace[i]];
    return a < 0 || b < 0 ? event : Math.max(0, Math.ceil(grown(a, b, event)));
  });
}

function steepest({ traces, size }: Work): number {
  const [first, second, third] = three(traces);
  const [a, b, c] = [first, second, third].map(({ trace }) => footprint(trace)) as [
    number,
    number,
    number,
  ];
  return 1.1 * (c + (Math.max(c - b, b - a) / (third.size - second.size)) * (size - third.size));
}

function three(traces: readonly SizedTrace[]): readonly [SizedTrace, SizedTrace, SizedTrace] {
  const [first, second, third] = traces;
  if (first === undefined || second === undefined || third === undefined) {
    throw new RangeError('Three recordings are needed.');
  }
  return [first, second, third];
}
