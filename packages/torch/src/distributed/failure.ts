/** Failures of groups of processes in one sentence. */
import { TorchError } from '../errors.js';
import type { Rendezvous } from './environment.js';

/** A failed collective: processes of the group have ended or hang. */
export class GroupError extends TorchError {
  /** The processes that the others miss, if they know. */
  readonly lost: readonly number[];

  constructor(message: string, lost: readonly number[] = []) {
    super(message);
    this.lost = lost;
  }
}

/** `Rank 1`, `Ranks 0, 1 and 3`. */
export function ranks(numbers: readonly number[]): string {
  const last = String(numbers.at(-1));
  return numbers.length === 1
    ? `Rank ${last}`
    : `Ranks ${numbers.slice(0, -1).join(', ')} and ${last}`;
}

/** The first line of an error of c10d or Gloo, without where in their sources it was thrown. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const [line = ''] = text.split('\n');
  return line
    .replace(/^.*a sum over the processes failed: /, '')
    .replace(/^(\[[^\]]*\.(cc|cpp|h|hpp):\d+\]\s*)*/, '')
    .replace(/\.$/, '');
}

/** Why a group could not be joined. */
export function joinFailure(
  error: unknown,
  {
    rank,
    rendezvous,
    arrival,
  }: { readonly rank: number; readonly rendezvous: Rendezvous; readonly arrival: number },
): GroupError {
  const reason = reasonOf(error);
  if ('file' in rendezvous) {
    return new GroupError(
      `Rank ${rank} cannot meet the other processes in the file ${rendezvous.file}: ${reason}.`,
    );
  }
  const { host, port } = rendezvous;
  if (/EADDRINUSE|address already in use/i.test(reason)) {
    return new GroupError(
      `Rank ${rank} cannot open port ${port} for the other processes, as another program has it; choose another MASTER_PORT.`,
    );
  }
  if (/timed out|ECONNREFUSED|connect|resolve|host/i.test(reason)) {
    return new GroupError(
      `Rank ${rank} could not reach rank 0 at ${host}:${port} within ${arrival} s; check MASTER_ADDR and MASTER_PORT, and that rank 0 runs.`,
    );
  }
  return new GroupError(`Rank ${rank} could not join the processes at ${host}:${port}: ${reason}.`);
}

/**
 * Why processes could not come together although all had come.
 *
 * @param lost - Those without a sign of life; none if it is the store that does not answer
 */
export function lostWhileJoining(
  lost: readonly number[],
  { size, rendezvous }: { readonly size: number; readonly rendezvous: Rendezvous },
): GroupError {
  if (lost.length > 0) {
    return new GroupError(`${missing(lost, size)} before all were connected.`, lost);
  }
  if (!('file' in rendezvous)) return failureOf(null, { size, reason: '' });
  return new GroupError(
    `The file ${rendezvous.file}, in which the ${size} processes meet, does not answer; check its file system.`,
  );
}

/** `Rank 1 of 3 has ended or hangs` */
function missing(lost: readonly number[], size: number): string {
  return `${ranks(lost)} of ${size} ${lost.length === 1 ? 'has ended or hangs' : 'have ended or hang'}`;
}

/**
 * What a collective's failure comes from.
 *
 * @param answers - What each process said in the roll call: nothing (null) if it has ended or hangs, the
 * empty text if it is there, a message if it failed for a reason of its own; null as a whole if rank 0's store is gone
 */
export function failureOf(
  answers: readonly (string | null)[] | null,
  { size, reason }: { readonly size: number; readonly reason: string },
): GroupError {
  if (answers === null) {
    return new GroupError(
      `Rank 0 of ${size} has ended or hangs, and with it the store of all processes.`,
      [0],
    );
  }
  const failed = [...answers.entries()].find(([, answer]) => (answer ?? '') !== '');
  if (failed !== undefined) {
    const [rank, message] = failed;
    return new GroupError(`Rank ${rank} of ${size} has failed: ${message}`);
  }
  const gone = [...answers.keys()].filter((rank) => answers[rank] === null);
  if (gone.length > 0) {
    return new GroupError(`${missing(gone, size)}.`, gone);
  }
  return connectFailure(size, reason);
}

/** Connections that fail although all processes are there. */
export function connectFailure(size: number, error: unknown): GroupError {
  return new GroupError(
    `The connections between the ${size} processes failed: ${reasonOf(error)}.`,
  );
}
