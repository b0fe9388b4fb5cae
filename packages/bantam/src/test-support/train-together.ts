/** Trainings by several processes, for the tests; the file itself is what each process runs. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { full, noGrad, scope, setThreads } from '@bantam/torch';
import { joinGroup, RENDEZVOUS_VARIABLE } from '@bantam/torch/distributed';
import { joinWorld, resumeTraining, train, World, type TrainOptions } from '../train/index.js';

/** A training, or the rest of one. */
export type SharedTask = {
  /** The step after which it is interrupted. */
  readonly stop?: number;
  /** The process whose signal interrupts it. Default 0. */
  readonly stoppedBy?: number;
  /** The process in which a gradient is not finite in a step, before the processes add theirs up. */
  readonly spoiled?: { readonly rank: number; readonly step: number };
} & ({ readonly options: TrainOptions } | { readonly resume: string });

/** A process that has ended. */
export interface SharedEnd {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Processes that train. */
export interface SharedRun {
  readonly processes: readonly ChildProcess[];
  readonly ends: Promise<SharedEnd[]>;
}

/**
 * Starts `size` processes that do the tasks together, one after the other; a single one takes the way of several.
 *
 * @param seconds - The most that they may take
 */
export function startTogether(
  size: number,
  tasks: readonly SharedTask[],
  seconds = 100,
): SharedRun {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-together-'));
  const file = join(folder, 'tasks.json');
  writeFileSync(file, JSON.stringify(tasks));
  const [loopback = 'lo'] =
    Object.entries(networkInterfaces()).find(([, found]) => found?.[0]?.internal) ?? [];
  const processes = Array.from({ length: size }, (_, rank) =>
    spawn(process.execPath, [fileURLToPath(import.meta.url), file], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: seconds * 1000,
      killSignal: 'SIGKILL',
      env: {
        ...process.env,
        RANK: String(rank),
        WORLD_SIZE: String(size),
        LOCAL_RANK: String(rank),
        LOCAL_WORLD_SIZE: String(size),
        BANTAM_RENDEZVOUS: join(folder, 'store'),
        GLOO_SOCKET_IFNAME: loopback,
        OMP_NUM_THREADS: '1',
      },
    }),
  );
  const ends = Promise.all(processes.map(endOf)).finally(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return { processes, ends };
}

/** {@link startTogether} to the end. */
export function trainTogether(...started: Parameters<typeof startTogether>): Promise<SharedEnd[]> {
  return startTogether(...started).ends;
}

function endOf(child: ChildProcess): Promise<SharedEnd> {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (code) => {
      resolve({ code, stdout, stderr });
    });
  });
}

/** The processes that this one is of; also if it is the only one. */
async function joinOthers(env: NodeJS.ProcessEnv): Promise<World | null> {
  const file = env[RENDEZVOUS_VARIABLE];
  if (env.WORLD_SIZE !== '1' || file === undefined) return await joinWorld(env);
  return new World(await joinGroup({ rank: 0, size: 1, rendezvous: { file } }), { localSize: 1 });
}

/** Lets a process of a world have a gradient that is not finite, in one step. */
function spoilGradients(world: World, { spoiled }: SharedTask): void {
  const summing = World.prototype.whileSumming.bind(world);
  let steps = 0;
  world.whileSumming = (parameters, pass) => {
    steps++;
    const [first] = parameters;
    if (steps === spoiled?.step && world.rank === spoiled.rank && first !== undefined) {
      scope(() => {
        noGrad(() => {
          first.grad = full(first.shape, NaN, { dtype: first.dtype });
        });
      });
    }
    summing(parameters, pass);
  };
}

/** The work of each process. */
async function main(file: string): Promise<void> {
  setThreads(1);
  const tasks = JSON.parse(readFileSync(file, 'utf8')) as readonly SharedTask[];
  const world = await joinOthers(process.env);
  const rank = world?.rank ?? 0;
  for (const task of tasks) {
    const controller = new AbortController();
    if (world !== null) spoilGradients(world, task);
    const { stop, stoppedBy = 0 } = task;
    // Without events in the others, theirs is a signal from the start, which comes before the first step.
    if (stop !== undefined && rank !== 0 && stoppedBy === rank) controller.abort();
    const control = {
      world,
      device: 'cpu',
      signal: controller.signal,
      onEvent: (event: { readonly kind: string; readonly step?: number }): void => {
        if (event.kind !== 'step') return;
        process.stdout.write(`step ${String(event.step)}\n`);
        if (event.step === stop && stoppedBy === 0) controller.abort();
      },
    };
    await ('resume' in task
      ? resumeTraining(task.resume, control)
      : train({ ...task.options, ...control }));
  }
  await world?.leave();
}

const [, script, file] = process.argv;
if (script === fileURLToPath(import.meta.url) && file !== undefined) {
  try {
    await main(file);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
