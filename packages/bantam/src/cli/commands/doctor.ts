import type { Command } from 'commander';
import type { Engine, Machine } from '../../machine/index.js';
import { does, examples } from '../command.js';
import { formatBytes, formatTable } from '../output.js';
import { Progress } from '../progress.js';

/** `bantam doctor` */
export function addDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .description('say what this computer is, and measure how fast it multiplies matrices');
  examples(command, ['bantam doctor', 'bantam doctor --json']);
  does(command, async () => {
    const { inspectMachine } = await import('../../machine/index.js');
    const progress = new Progress();
    const machine = await inspectMachine({
      onProgress: (what) => {
        progress.update('measuring', what);
      },
    });
    progress.done();
    return { text: describe(machine), json: machine };
  });
}

/** The instruction level of Bantam's own kernels, and what limits it. */
function describeLevel({ level, limit }: Engine): string {
  return limit === undefined ? level : `${level} (BANTAM_MAX_ISA=${limit})`;
}

function describe({ cpu, engine, memory, cache, ...machine }: Machine): string {
  const facts = [
    ['processor', `${cpu.name}, ${cpu.cores} cores`],
    ['vector units', cpu.vector.join(' ') || 'unknown'],
    ['matrix units', cpu.matrix.join(' ') || 'none'],
    ['memory', `${formatBytes(memory.freeBytes)} free of ${formatBytes(memory.totalBytes)}`],
    ['cache', `${cache.directory}, ${formatBytes(cache.freeBytes)} free`],
    ['Node.js', `${machine.node} on ${machine.platform}`],
  ];
  if (engine !== undefined) {
    facts.push(
      ['libtorch', `${engine.version}, ${engine.capability} kernels, ${engine.threads} threads`],
      ['kernels', describeLevel(engine)],
      ['devices', engine.devices.join(', ')],
      ...engine.rates.map(({ dtype, size, gflops }) => [
        dtype,
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
