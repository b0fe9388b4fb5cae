/**
 * A process that carries out command lines in turn. Most of the time of a short command is the start of its
 * process, and what a command prints and its exit status are those of `main` either way.
 */
import { main } from '../dist/cli/main.js';

const outputs = ['stdout', 'stderr'] as const;
let before = Promise.resolve();

process.on('disconnect', () => process.exit());
process.on('message', (args: readonly string[]) => {
  before = before.then(async () => {
    process.send?.(await carryOut(args));
  });
});

/** Exit status and output of a command line, which leaves no trace for the next one. */
async function carryOut(args: readonly string[]) {
  const { argv, env } = process;
  const printed = { stdout: '', stderr: '' };
  for (const name of outputs) {
    process[name].write = (chunk: string | Uint8Array): boolean => {
      printed[name] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString();
      return true;
    };
  }
  process.argv = [...argv.slice(0, 2), ...args];
  process.env = { ...env };
  try {
    return { status: await main(args), ...printed };
  } finally {
    for (const name of outputs) {
      // The method itself is the stream's class's.
      Reflect.deleteProperty(process[name], 'write');
      process[name].removeAllListeners('error');
    }
    for (const signal of ['SIGINT', 'SIGTERM']) process.removeAllListeners(signal);
    process.exitCode = undefined;
    process.argv = argv;
    process.env = env;
  }
}
