/** Commands whose batches several processes compute. */
import { Option } from 'commander';
import { UsageError } from '../base/errors.js';
import type { Helpers } from '../eval/index.js';
import { argumentsWithout, endWithLauncher, launch, tellJoined, tellLoss } from './launch.js';
import type { Outcome } from './output.js';
import { positiveInteger } from './values.js';

/** `--processes` of commands that embed. */
export function processesOption(): Option {
  return new Option(
    '--processes <n>',
    'embed with n processes of this machine (default: 1; under torchrun or srun: theirs)',
  ).argParser(positiveInteger);
}

/** @throws UsageError in a process that a launcher has started: it starts none itself. */
export function refuseNested(options: readonly string[]): void {
  if (process.env.RANK === undefined && process.env.WORLD_SIZE === undefined) return;
  throw new UsageError(
    `RANK and WORLD_SIZE are set, so this process is one of several already; leave out ${options.join(' and ')}, or unset them.`,
  );
}

/**
 * Does a command's work in rank 0, or in the only process; the others compute what it asks for. With
 * `--processes` this process starts them, and they do it.
 */
export async function withHelpers(
  processes: number | undefined,
  work: (helpers: Helpers | undefined) => Promise<Outcome>,
): Promise<Outcome | null> {
  if (processes !== undefined) {
    refuseNested(['--processes']);
    const args = argumentsWithout(['--processes']);
    process.exitCode = await launch({ processes, restarts: 0, args, resume: () => null });
    return null;
  }
  endWithLauncher();
  const { followOrders, Helpers } = await import('../eval/index.js');
  const helpers = await Helpers.join();
  if (helpers === null) return await work(undefined);
  tellJoined();
  try {
    if (!helpers.isFirst) {
      await followOrders(helpers);
      return null;
    }
    const outcome = await work(helpers);
    await helpers.end();
    return outcome;
  } catch (error) {
    await helpers.fail(error);
    await tellLoss(error);
    throw error;
  }
}
