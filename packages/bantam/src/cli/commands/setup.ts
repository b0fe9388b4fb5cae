import type { Command } from 'commander';
import { BantamError } from '../../base/errors.js';
import { action, examples } from '../command.js';
import { formatTable } from '../output.js';

/** `bantam setup` */
export function addSetup(program: Command): void {
  const command = program
    .command('setup')
    .description('download libtorch and install the addon, if npm ran no install scripts');
  examples(command, ['bantam setup', 'BANTAM_LIBTORCH=/opt/libtorch bantam setup']);
  action(command, async () => {
    const { setup } = await import('@bantam/torch/setup');
    try {
      const { libtorch, addon } = await setup(process.env);
      const facts = [
        ['libtorch', `${libtorch.version} in ${libtorch.path}`],
        ['addon', addon],
      ];
      return { text: formatTable(facts), json: { libtorch, addon } };
    } catch (error) {
      if (error instanceof Error && error.name === 'InstallError') {
        throw new BantamError(error.message, { cause: error });
      }
      throw error;
    }
  });
}
