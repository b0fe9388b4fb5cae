/** The environment variables by which launchers tell a process its part of a group. */
import { TorchError } from '../errors.js';

/** The meeting point of a group's processes: a server that rank 0 runs, or a file that all can reach. */
export type Rendezvous =
  | {
      readonly host: string;
      readonly port: number;
      /** True if something else than rank 0 runs the server, as `torchrun` does. Default false. */
      readonly isHosted?: boolean;
    }
  | { readonly file: string };

/** The part of a process in a group. */
export interface WorldEnvironment {
  /** Number of this process, 0 … size − 1. */
  readonly rank: number;
  /** Number of processes, on all machines. */
  readonly size: number;
  /** Number of this process on its machine, 0 … localSize − 1. */
  readonly localRank: number;
  /** Number of processes on this machine. */
  readonly localSize: number;
  readonly rendezvous: Rendezvous;
  /** Times that a launcher has started the group again. */
  readonly restarts: number;
}

/** The variable by which `bantam train --processes` names the file where its processes meet. */
export const RENDEZVOUS_VARIABLE = 'BANTAM_RENDEZVOUS';

const defaultPort = 29500;
const greatestPort = 65535;

type Environment = Readonly<Record<string, string | undefined>>;

function wholeNumber(env: Environment, name: string, least: number): number | undefined {
  const text = env[name];
  if (text === undefined || text === '') return undefined;
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new TorchError(
    `The environment variable ${name} is "${text}"; it must be a whole number from ${least} up.`,
  );
}

/** The first of a list of SLURM's such as `node[03-05,9],other`. */
function firstHost(list: string): string {
  const [, prefix = '', ranges] = /^([^,[]*)(?:\[([^\]]*)\])?/.exec(list) ?? [];
  const [first = ''] = (ranges ?? '').split(/[-,]/);
  return prefix + first;
}

/** The variables of `torchrun`, or those of `srun` under torchrun's names; null: neither has started this process. */
function launched(env: Environment): Environment | null {
  if (env.RANK !== undefined || env.WORLD_SIZE !== undefined) return env;
  // Within a batch script itself SLURM_NTASKS and SLURM_PROCID are there as well: only a step has this one.
  if (env.SLURM_STEP_NUM_TASKS === undefined) return null;
  const nodes = env.SLURM_STEP_NODELIST ?? env.SLURM_JOB_NODELIST;
  const address = nodes === undefined ? undefined : firstHost(nodes);
  const job = wholeNumber(env, 'SLURM_JOB_ID', 0);
  return {
    RANK: env.SLURM_PROCID,
    WORLD_SIZE: env.SLURM_STEP_NUM_TASKS,
    LOCAL_RANK: env.SLURM_LOCALID,
    LOCAL_WORLD_SIZE: /^\d+/.exec(env.SLURM_STEP_TASKS_PER_NODE ?? '')?.[0],
    MASTER_ADDR: env.MASTER_ADDR ?? address,
    MASTER_PORT: env.MASTER_PORT ?? (job === undefined ? undefined : String(20000 + (job % 10000))),
  };
}

/**
 * The part of this process in a group, by the variables of `torchrun` (RANK, WORLD_SIZE, LOCAL_RANK,
 * LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT) or of `srun` (SLURM_PROCID, SLURM_STEP_NUM_TASKS, …, where
 * the first host of the step is the meeting point). Null if it was started alone.
 *
 * @throws TorchError for variables that are incomplete or contradict each other.
 */
export function worldFromEnvironment(given: Environment): WorldEnvironment | null {
  const env = launched(given);
  if (env === null) return null;
  const rank = wholeNumber(env, 'RANK', 0);
  const size = wholeNumber(env, 'WORLD_SIZE', 1);
  if (rank === undefined || size === undefined) {
    const missing = rank === undefined ? 'RANK' : 'WORLD_SIZE';
    throw new TorchError(
      `The environment variable ${missing} is missing; a process of a group needs RANK and WORLD_SIZE, which torchrun, srun and --processes set.`,
    );
  }
  if (rank >= size) {
    throw new TorchError(
      `The environment variable RANK is ${rank}, but WORLD_SIZE is ${size}; ranks are 0 to ${size - 1}.`,
    );
  }
  if (size === 1) return null;
  return {
    rank,
    size,
    localRank: wholeNumber(env, 'LOCAL_RANK', 0) ?? rank,
    localSize: wholeNumber(env, 'LOCAL_WORLD_SIZE', 1) ?? size,
    rendezvous: rendezvousOf(env),
    restarts: wholeNumber(env, 'TORCHELASTIC_RESTART_COUNT', 0) ?? 0,
  };
}

function rendezvousOf(env: Environment): Rendezvous {
  const file = env[RENDEZVOUS_VARIABLE];
  if (file !== undefined) return { file };
  const host = env.MASTER_ADDR;
  if (host === undefined || host === '') {
    throw new TorchError(
      'The environment variable MASTER_ADDR is missing; set it to the address of the machine of rank 0.',
    );
  }
  const port = wholeNumber(env, 'MASTER_PORT', 1) ?? defaultPort;
  if (port > greatestPort) {
    throw new TorchError(
      `The environment variable MASTER_PORT is ${port}; ports are 1 to ${greatestPort}.`,
    );
  }
  return { host, port, isHosted: env.TORCHELASTIC_USE_AGENT_STORE === 'True' };
}
