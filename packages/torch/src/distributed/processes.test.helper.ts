/** Groups of processes for the tests: each runs the same body. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';

/** A process that has ended. */
export interface Ended {
  /** Lines of standard output. */
  readonly lines: readonly string[];
  readonly stderr: string;
  readonly code: number | null;
}

/** Options of {@link runGroup}. */
export interface GroupOptions {
  readonly size: number;
  /** Code of an asynchronous function of `torch`, `distributed`, `rank`, `size` and `join(options)`. */
  readonly body: string;
  /** Meeting point; default: a file. */
  readonly rendezvous?: object;
  /** Ranks that are started; default: all. */
  readonly started?: readonly number[];
  /** Receives the processes as soon as all run. */
  readonly onStart?: (processes: readonly ChildProcess[]) => void;
}

const script = (body: string): string => `
  import * as torch from ${JSON.stringify(new URL('../index.js', import.meta.url).href)};
  import * as distributed from ${JSON.stringify(new URL('./index.js', import.meta.url).href)};
  const [rank, size] = process.argv.slice(1).map(Number);
  const rendezvous = JSON.parse(process.argv[3]);
  torch.setThreads(1);
  const print = (value) => console.log(JSON.stringify(value));
  const join = (options = {}) => distributed.joinGroup({ rank, size, rendezvous, ...options });
  try {
    ${body}
  } catch (error) {
    console.log(error.name + ': ' + error.message);
    process.exitCode = 3;
  }`;

/** Name of the loopback interface. */
export function loopback(): string {
  const [name] =
    Object.entries(networkInterfaces()).find(([, found]) => found?.[0]?.internal) ?? [];
  return name ?? 'lo';
}

/** A port that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Runs a group's processes to their ends, in the order of the ranks. */
export async function runGroup({
  size,
  body,
  started,
  onStart,
  ...rest
}: GroupOptions): Promise<Ended[]> {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-group-'));
  const { rendezvous = { file: join(folder, 'store') } } = rest;
  const ranks = started ?? Array.from({ length: size }, (_, rank) => rank);
  const processes = ranks.map((rank) =>
    spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        script(body),
        String(rank),
        String(size),
        JSON.stringify(rendezvous),
      ],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: 60_000,
        env: { ...process.env, GLOO_SOCKET_IFNAME: loopback(), OMP_NUM_THREADS: '1' },
      },
    ),
  );
  onStart?.(processes);
  try {
    return await Promise.all(processes.map(ended));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function ended(child: ChildProcess): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (data) => (stdout += String(data)));
  child.stderr?.on('data', (data) => (stderr += String(data)));
  return new Promise((resolve) => {
    child.on('close', (code) => {
      resolve({ lines: stdout.split('\n').filter((line) => line !== ''), stderr, code });
    });
  });
}
