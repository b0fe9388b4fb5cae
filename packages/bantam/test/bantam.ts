import assert from 'node:assert/strict';
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const executable = fileURLToPath(new URL('../bin/bantam.js', import.meta.url));

/** Result of a run of the command line. */
export interface Ended {
  /** Exit status; null if a signal ended it. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running command line. */
export interface Running {
  readonly process: ChildProcess;
  /** Resolves as soon as standard error matches. */
  printed(pattern: RegExp): Promise<void>;
  readonly ended: Promise<Ended>;
}

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts `bantam` as a user does, in a process of its own. */
export function start(args: readonly string[], { cwd, env }: StartOptions = {}): Running {
  const child = spawn(process.execPath, [executable, ...args], {
    ...(cwd !== undefined && { cwd }),
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A command that hangs fails its test.
    timeout: 120_000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject).on('close', (status) => {
      resolve({ status, stdout, stderr });
    });
  });
  const printed = async (pattern: RegExp): Promise<void> => {
    const over = ended.then(() => {
      if (!pattern.test(stderr))
        assert.fail(`bantam ended without printing ${pattern}:\n${stderr}`);
    });
    const matched = new Promise<void>((resolve) => {
      const look = (): void => {
        if (pattern.test(stderr)) resolve();
      };
      look();
      child.stderr.on('data', look);
    });
    await Promise.race([matched, over]);
  };
  return { process: child, printed, ended };
}

/** Runs `bantam` to its end. */
export function bantam(args: readonly string[], options: StartOptions = {}): Promise<Ended> {
  return start(args, options).ended;
}

/** Runs `bantam` and expects it to do its work; returns the JSON document it prints. */
export async function bantamJson(
  args: readonly string[],
  options: StartOptions = {},
): Promise<unknown> {
  const { status, stdout, stderr } = await bantam([...args, '--json'], options);
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

const commandProcess = fileURLToPath(new URL('command-process.js', import.meta.url));

/** A process that carries out command lines in turn, see `command-process.ts`. */
class CommandProcess {
  readonly #child: ChildProcess;
  readonly #waiting: ((ended: Ended) => void)[] = [];
  #isOver = false;

  constructor({ cwd, env }: StartOptions) {
    this.#child = fork(commandProcess, {
      ...(cwd !== undefined && { cwd }),
      env: { ...process.env, ...env },
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child.on('message', (ended) => {
      this.#waiting.shift()?.(ended as Ended);
      this.#release();
    });
    this.#child.on('exit', (status) => {
      this.#isOver = true;
      for (const answer of this.#waiting.splice(0)) answer({ status, stdout: '', stderr: '' });
    });
  }

  get isOver(): boolean {
    return this.#isOver;
  }

  run(args: readonly string[]): Promise<Ended> {
    this.#child.ref();
    this.#child.channel?.ref();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#child.send(args);
    });
  }

  /** A process without work does not keep the tests from ending; it ends with them. */
  #release(): void {
    if (this.#waiting.length > 0) return;
    this.#child.unref();
    this.#child.channel?.unref();
  }
}

const processes = new Map<string, CommandProcess>();

/** Runs `bantam` to its end in a process that others with the same folder and environment share. */
function bantamInTurn(args: readonly string[], options: StartOptions): Promise<Ended> {
  const key = JSON.stringify([options.cwd, options.env]);
  const known = processes.get(key);
  const shared = known === undefined || known.isOver ? new CommandProcess(options) : known;
  processes.set(key, shared);
  return shared.run(args);
}

/**
 * Expects a command line to fail with this exit status and one sentence that matches, and nothing else.
 * It shares a process with others, which is where the time of such a command goes.
 */
export async function expectFailure(
  args: readonly string[],
  { status, message, ...options }: StartOptions & { status: 1 | 2; message: RegExp },
): Promise<void> {
  const ended = await bantamInTurn(args, options);
  assert.equal(ended.status, status, ended.stderr);
  assert.equal(ended.stdout, '');
  const errors = ended.stderr.split('\n').filter((line) => line.startsWith('error: '));
  assert.equal(errors.length, 1, ended.stderr);
  assert.match(String(errors[0]), message);
  assert.doesNotMatch(ended.stderr, /^\s+at /m, 'a stack trace needs --debug');
}
