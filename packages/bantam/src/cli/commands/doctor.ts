import type { Command } from 'commander';
import type { Machine, Runtime } from '../../machine/index.js';
import { action, examples } from '../command.js';
import { formatBytes } from '../../base/format-bytes.js';
import { formatTable } from '../output.js';
import { Progress } from '../progress.js';

/** `bantam doctor` */
export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .description('check this machine and measure the rate of its matrix products, by device');
  examples(command, ['bantam doctor', 'bantam doctor --json']);
  action(command, async () => {
    // Not the folder's index, which loads libtorch: if that fails, the report says so.
    const { inspectMachine } = await import('../../machine/machine.js');
    const progress = new Progress();
    const machine = await inspectMachine({
      onProgress: (task) => {
        progress.update('measuring', task);
      },
    });
    progress.done();
    return { text: describe(machine), json: machine };
  });
}

/** The instruction level of Bantam's own kernels, and its limit. */
function describeLevel({ level, limit }: Runtime): string {
  return limit === undefined ? level : `${level} (BANTAM_MAX_ISA=${limit})`;
}

/** Rows for NVIDIA's driver, its GPUs and libtorch's CUDA part; none without a driver. */
function describeCuda({ cuda: { driver, gpus, libraries } }: Runtime): string[][] {
  if (driver === null) return [];
  return [
    ['NVIDIA driver', `for CUDA ${driver}`],
    ...gpus.map(({ name, capability, bytes }) => [
      'GPU',
      `${name}, compute capability ${capability}, ${formatBytes(bytes)}`,
    ]),
    ["libtorch's CUDA", libraries ?? 'none'],
  ];
}

function describe({ cpu, runtime, memory, cache, ...machine }: Machine): string {
  const facts = [
    ['CPU', `${cpu.name}, ${cpu.cores} cores`],
    ['vector instructions', cpu.vector.join(' ') || 'unknown'],
    ['matrix instructions', cpu.matrix.join(' ') || 'none'],
    ['memory', `${formatBytes(memory.freeBytes)} free of ${formatBytes(memory.totalBytes)}`],
    ['cache', `${cache.directory}, ${formatBytes(cache.freeBytes)} free`],
    ['Node.js', `${machine.node} on ${machine.platform}`],
  ];
  if (runtime !== undefined) {
    facts.push(
      ['libtorch', `${runtime.version}, ${runtime.capability} kernels, ${runtime.threads} threads`],
      ['kernels', describeLevel(runtime)],
      ['devices', runtime.devices.join(', ')],
      ...describeCuda(runtime),
      ...runtime.rates.map(({ device, dtype, size, gflops }) => [
        device === 'cpu' ? dtype : `${dtype} on ${device}`,
        `${gflops.toFixed(0)} GFLOP/s (product of ${size}×${size} matrices)`,
      ]),
    );
  }
  const sections = [formatTable(facts), machine.verdicts.join('\n')];
  sections.push(
    machine.problems.length === 0
      ? 'No problems found.'
      : machine.problems.map(({ what, remedy }) => `Problem: ${what}.\n  → ${remedy}`).join('\n'),
  );
  return sections.filter((section) => section !== '').join('\n\n');
}
