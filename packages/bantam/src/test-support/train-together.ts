/** Trainings by several processes, for the tests; the file itself is what each process runs. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setThreads } from '@bantam/torch';
import { joinWorld, resumeTraining, train, type TrainOptions } from '../train/index.js';

/** A training, or the rest of one. */
export type SharedTask = {
  /** The step after which it is interrupted. */
  readonly stop?: number;
  /** The process whose signal interrupts it. Default 0. */
  readonly stoppedBy?: number;
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

/** Starts `size` processes that do the tasks together, one after the other. */
export function startTogether(size: number, tasks: readonly SharedTask[]): SharedRun {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-together-'));
  const file = join(folder, 'tasks.json');
  writeFileSync(file, JSON.stringify(tasks));
  const [loopback = 'lo'] =
    Object.entries(networkInterfaces()).find(([, found]) => found?.[0]?.internal) ?? [];
  const processes = Array.from({ length: size }, (_, rank) =>
    spawn(process.execPath, [fileURLToPath(import.meta.url), file], {
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: 100_000,
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
export function trainTogether(size: number, tasks: readonly SharedTask[]): Promise<SharedEnd[]> {
  return startTogether(size, tasks).ends;
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

/** The work of each process. */
async function main(file: string): Promise<void> {
  setThreads(1);
  const tasks = JSON.parse(readFileSync(file, 'utf8')) as readonly SharedTask[];
  const world = await joinWorld();
  const rank = world?.rank ?? 0;
  for (const task of tasks) {
    const controller = new AbortController();
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
