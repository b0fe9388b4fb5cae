/** Several processes of one `bantam train`, started by `--processes` or as torchrun starts them. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const bin = fileURLToPath(new URL('../../packages/bantam/bin/bantam.js', import.meta.url));

/** A process whose messages are collected. */
function watch(child) {
  const state = { child, text: '', status: undefined };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => (state.text += text));
  }
  state.ended = new Promise((resolve) => {
    child.once('exit', (code, signal) => (state.status = signal ?? code));
    child.once('close', () => resolve(state));
  });
  return state;
}

/** A variable of a running process's environment. */
function environmentOf(pid, name) {
  const variables = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0');
  return variables.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** Starts one command with `--processes`, whose processes are its children. */
export function startLauncher(args, { size, env = {} }) {
  const child = spawn(process.execPath, [bin, ...args, '--processes', String(size)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  const launcher = watch(child);
  return {
    /** The command's own process, whose messages the user sees. */
    processes: [launcher],
    /** Process number of a rank. */
    pid(rank) {
      const children = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
      const pids = children.trim().split(' ').map(Number);
      return pids.find((pid) => environmentOf(pid, 'RANK') === String(rank));
    },
  };
}

/**
 * Starts one command on several machines, with torchrun's variables.
 *
 * @param {readonly string[]} args
 * @param {{ machines: import('./machines.js').Machines, size: number, perMachine?: number, port?: number, wrap?: (machine: number, command: string, args: readonly string[]) => [string, string[]], env?: Record<string, string> }} options
 */
export function startOnMachines(args, { machines, size, perMachine = 1, port = 29_500, ...rest }) {
  const { wrap = (_, command, all) => [command, all], env = {} } = rest;
  const processes = Array.from({ length: size }, (_, rank) => {
    const machine = Math.floor(rank / perMachine);
    const command = machines.command(machine, ...wrap(machine, process.execPath, [bin, ...args]));
    const child = spawn(...command, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        RANK: String(rank),
        WORLD_SIZE: String(size),
        LOCAL_RANK: String(rank % perMachine),
        LOCAL_WORLD_SIZE: String(perMachine),
        MASTER_ADDR: machines.address(0),
        MASTER_PORT: String(port),
        GLOO_SOCKET_IFNAME: machines.interface,
        ...env,
      },
    });
    return watch(child);
  });
  return { processes, pid: (rank) => processes[rank].child.pid };
}
