import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { BantamError } from 'bantam/internal';
import type {
  BantamFacts,
  Checked,
  LearnReply,
  LearnRequest,
  Memory,
  BaselineFacts,
  Pairs,
  PairsRequest,
  Prepared,
  PrepareRequest,
  Ran,
  Recalls,
  RecallsRequest,
  Request,
} from './protocol.js';

/** How to start a worker. */
export interface WorkerCommand {
  /** For messages: `Bantam` or `the baseline`. */
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

const living = new Set<ChildProcess>();

// A worker may hold gigabytes and must not outlive the benchmark.
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL');
});

/** A long-lived process that does one thing at a time when asked. */
export class WorkerProcess implements AsyncDisposable {
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #errors = '';
  #waiting: { resolve(line: string): void; reject(error: Error): void } | undefined;

  constructor({ name, program, args, env }: WorkerCommand) {
    this.#name = name;
    const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child = child;
    living.add(child);
    // Output of libraries is of interest only when the process fails.
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#errors = (this.#errors + text).slice(-4000);
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      waiting?.resolve(line);
    });
    child.stdin.on('error', () => undefined);
    this.#ended = new Promise((resolve) => {
      const end = (reason: string): void => {
        living.delete(child);
        this.#waiting?.reject(this.#failure(reason));
        this.#waiting = undefined;
        resolve();
      };
      child.on('error', (error) => {
        end(error.message);
      });
      child.on('close', (code, signal) => {
        end(signal === null ? `it ended with status ${code ?? '?'}` : `it was ended by ${signal}`);
      });
    });
  }

  /**
   * Asks for something and waits for the answer.
   *
   * @throws BantamError when the worker reports an error or ends.
   */
  ask(request: PrepareRequest): Promise<Prepared>;
  ask(request: PairsRequest): Promise<Pairs>;
  ask(request: LearnRequest): Promise<LearnReply>;
  ask(request: RecallsRequest): Promise<Recalls>;
  ask(request: Request & { op: 'open' }): Promise<object>;
  ask(request: Request & { op: 'check' }): Promise<Checked>;
  ask(request: Request & { op: 'run' }): Promise<Ran>;
  ask(request: Request & { op: 'memory' }): Promise<Memory>;
  ask(request: Request & { op: 'rate' }): Promise<{ gflops: number }>;
  ask(request: Request & { op: 'facts' }): Promise<BantamFacts & BaselineFacts>;
  async ask(request: Request): Promise<object> {
    if (!living.has(this.#child)) throw this.#failure('it has ended');
    const line = new Promise<string>((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
    this.#child.stdin?.write(`${JSON.stringify(request)}\n`);
    const reply = JSON.parse(await line) as { error?: string };
    if (reply.error !== undefined) throw this.#failure(reply.error);
    return reply;
  }

  /** CPU seconds that the process and all that it started have used; null off Linux. */
  cpuSeconds(): number | null {
    try {
      return treeCpuSeconds(String(this.#child.pid));
    } catch {
      return null;
    }
  }

  /** Lets the process end, and waits for it. */
  async close(): Promise<void> {
    this.#child.stdin?.end();
    await this.#ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #failure(reason: string): BantamError {
    const last = this.#errors.trim().split('\n').at(-1);
    const detail =
      last === undefined || last === '' || reason.includes(last) ? '' : `; it last said: ${last}`;
    return new BantamError(`${this.#name} failed: ${reason}${detail}`);
  }
}

/** CPU seconds of a process, its children, and theirs; throws if unknown. */
function treeCpuSeconds(pid: string): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field, the program's name, may hold spaces; times are in hundredths of a second.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  // Of the process itself, then of its children that have ended.
  const own = fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
  return children
    .filter((child) => child !== '')
    .reduce((sum, child) => sum + treeCpuSeconds(child), own);
}

/** CPU seconds that the whole machine has computed since it started; null off Linux. */
export function machineCpuSeconds(): number | null {
  try {
    const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
    const [user = 0, nice = 0, system = 0, , , interrupts = 0, soft = 0, stolen = 0] = line
      .split(/\s+/)
      .slice(1)
      .map(Number);
    return (user + nice + system + interrupts + soft + stolen) / 100;
  } catch {
    return null;
  }
}
