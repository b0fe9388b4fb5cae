/** Several processes of one command on this machine: started together, ended together, started again. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, constants, networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { at } from '../base/at.js';
import { BantamError } from '../base/errors.js';

/** Options of {@link launch}. */
export interface LaunchOptions {
  readonly processes: number;
  /** Times that the processes are started again after a failure. */
  readonly restarts: number;
  /** Arguments of each process. */
  readonly args: readonly string[];
  /** Arguments after a failure; null: there is nothing to resume. */
  readonly resume: () => readonly string[] | null;
}

/** Milliseconds that processes have to end by themselves after one of them has. */
const graceAfterEnd = 50_000;

/** The same if it ended before all had joined: then there is nothing to save. */
const graceBeforeJoining = 10_000;

/** Milliseconds that a process has to end on its own after others have said that they miss it. */
const graceAfterLoss = 10_000;

/** Milliseconds that the others have after rank 0 has ended. */
const graceAfterFirst = 15_000;

/** News from a process to its launcher: it has joined the others, or misses some of them. */
type News = { readonly joined: true } | { readonly lost: readonly number[] };

/** The end of a process. */
interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** True if it was killed here, after others had ended. */
  readonly isForced: boolean;
}

/**
 * Runs this program as several processes that meet in a file, with the variables of torchrun and the CPU's threads
 * divided among them. Rank 0 prints; the others' messages come with their rank. Signals go to all.
 *
 * @returns rank 0's exit status, which has said what failed; 1 if another process failed; as a shell has it, 128 and
 * the number of a signal that was passed on and has ended rank 0
 * @throws BantamError if rank 0 could not say what failed, as another signal has ended it
 */
export async function launch(options: LaunchOptions): Promise<number> {
  let children: readonly ChildProcess[] = [];
  const passed = new Set<NodeJS.Signals>();
  const pass = (signal: NodeJS.Signals): void => {
    passed.add(signal);
    for (const child of children) child.kill(signal);
  };
  const names = ['SIGINT', 'SIGTERM'] as const;
  for (const name of names) process.on(name, pass);
  try {
    let args = options.args;
    for (let restart = 0; ; restart++) {
      const folder = mkdtempSync(join(tmpdir(), 'bantam-processes-'));
      let ends: readonly End[];
      try {
        children = start(options.processes, { args, restart, file: join(folder, 'store') });
        ends = await endsOf(children);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
      const [first] = ends;
      if (ends.every(({ code }) => code === 0)) return 0;
      const failure = describe(ends);
      const resumed = passed.size > 0 || first?.code === 2 ? null : options.resume();
      if (resumed === null || restart >= options.restarts) {
        if (first?.code === null) {
          const again = options.resume()?.join(' ');
          const hint = again === undefined ? '' : ` Resume the run with "bantam ${again}".`;
          if (first.signal !== null && passed.has(first.signal)) {
            process.stderr.write(`\n${first.signal}: stopped before the work was done.${hint}\n`);
            return 128 + constants.signals[first.signal];
          }
          throw new BantamError(`${failure}${hint}`);
        }
        if (first?.code === 0) process.stderr.write(`${failure}\n`);
        return first?.code === 0 ? 1 : (first?.code ?? 1);
      }
      args = resumed;
      process.stderr.write(`${failure} Restart ${restart + 1} of ${options.restarts}.\n`);
    }
  } finally {
    for (const name of names) process.off(name, pass);
  }
}

function start(
  count: number,
  {
    args,
    restart,
    file,
  }: { readonly args: readonly string[]; readonly restart: number; readonly file: string },
): ChildProcess[] {
  const [, script = ''] = process.argv;
  const threads = String(Math.max(1, Math.floor(availableParallelism() / count)));
  const loopback = Object.entries(networkInterfaces()).find(
    ([, found]) => found?.[0]?.internal,
  )?.[0];
  return Array.from({ length: count }, (_, rank) => {
    const child = spawn(process.execPath, [...process.execArgv, script, ...args], {
      // A session of its own: a terminal's Ctrl-C reaches it through this process alone.
      detached: true,
      stdio:
        rank === 0 ? ['ignore', 'inherit', 'inherit', 'ipc'] : ['ignore', 'ignore', 'pipe', 'ipc'],
      env: {
        OMP_NUM_THREADS: threads,
        ...(loopback !== undefined && { GLOO_SOCKET_IFNAME: loopback }),
        ...process.env,
        RANK: String(rank),
        WORLD_SIZE: String(count),
        LOCAL_RANK: String(rank),
        LOCAL_WORLD_SIZE: String(count),
        TORCHELASTIC_RESTART_COUNT: String(restart),
        BANTAM_RENDEZVOUS: file,
      },
    });
    if (child.stderr !== null) {
      createInterface({ input: child.stderr }).on('line', (line) => {
        if (line !== '') process.stderr.write(`[rank ${rank}] ${line}\n`);
      });
    }
    return child;
  });
}

/**
 * The ends of all processes: after the first failure the others have some time, then they are killed. One that the
 * others miss, as it hangs, has less.
 */
function endsOf(children: readonly ChildProcess[]): Promise<End[]> {
  const timers: NodeJS.Timeout[] = [];
  const forced = new Set<ChildProcess>();
  const joined = new Set<ChildProcess>();
  const killLater = (delay: number, some = children): void => {
    const kill = (): void => {
      for (const child of some) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        forced.add(child);
        child.kill('SIGKILL');
      }
    };
    timers.push(setTimeout(kill, delay));
  };
  const ended = children.map(
    (child, rank) =>
      new Promise<End>((resolve, reject) => {
        child.once('error', reject);
        child.on('message', (news: News) => {
          if ('joined' in news) joined.add(child);
          else
            killLater(
              graceAfterLoss,
              children.filter((_, other) => news.lost.includes(other)),
            );
        });
        child.once('close', (code, signal) => {
          if (rank === 0) killLater(graceAfterFirst);
          else if (code !== 0) {
            killLater(joined.size < children.length ? graceBeforeJoining : graceAfterEnd);
          }
          resolve({ code, signal, isForced: forced.has(child) });
        });
      }),
  );
  return Promise.all(ended).finally(() => {
    for (const timer of timers) clearTimeout(timer);
  });
}

/** The processes that ended first, in a sentence: by a signal, or else with a status. */
function describe(ends: readonly End[]): string {
  const own = [...ends.entries()].filter(([, { isForced }]) => !isForced);
  const killed = own.filter(([, { signal }]) => signal !== null);
  const failed = killed.length > 0 ? killed : own.filter(([, { code }]) => code !== 0);
  const named = failed.map(([rank, { code, signal }]) =>
    signal === null ? `rank ${rank} with status ${code}` : `rank ${rank} by ${signal}`,
  );
  const plural = named.length > 1 ? 'Processes' : 'A process';
  return `${plural} of ${ends.length} ended: ${named.join(', ')}.`;
}

/** True in a process that {@link launch} has started. */
function isLaunched(): boolean {
  return process.env.BANTAM_RENDEZVOUS !== undefined && process.connected;
}

function tellLauncher(news: News): void {
  if (isLaunched()) process.send?.(news);
}

/** In a process that {@link launch} has started: says that all have come together. */
export function tellJoined(): void {
  tellLauncher({ joined: true });
}

/** In a process that {@link launch} has started: names the processes that an error says it has lost. */
export async function tellLoss(error: unknown): Promise<void> {
  const { GroupError } = await import('@bantam/torch/distributed');
  const cause = error instanceof Error && !(error instanceof GroupError) ? error.cause : error;
  if (cause instanceof GroupError && cause.lost.length > 0) tellLauncher({ lost: cause.lost });
}

/** In a process that {@link launch} has started: ends it with its launcher. */
export function endWithLauncher(): void {
  if (!isLaunched()) return;
  process.channel?.unref();
  process.once('disconnect', () => {
    process.exit(1);
  });
}

/** This program's arguments without some options that have a value each. */
export function argumentsWithout(names: readonly string[], argv = process.argv.slice(2)): string[] {
  return argv.filter((argument, i) => {
    const isValue = i > 0 && names.includes(at(argv, i - 1));
    const isOption = names.some((name) => argument === name || argument.startsWith(`${name}=`));
    return !isValue && !isOption;
  });
}

/** The arguments that resume a run, if it has begun. */
export function resumeArguments(run: string, config: string, device?: string): string[] | null {
  if (!existsSync(config)) return null;
  return ['train', '--resume', run, ...(device === undefined ? [] : ['--device', device])];
}
