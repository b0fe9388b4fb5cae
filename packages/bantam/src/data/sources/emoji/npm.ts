import { spawn } from 'node:child_process';
import { BantamError } from '../../../base/errors.js';
import type { PinnedPackage } from './styles.js';

/** Installs packages with the npm client into `directory`, without running their scripts. */
export async function installPackages(
  packages: readonly PinnedPackage[],
  directory: string,
): Promise<void> {
  const names = packages.map(({ name, version }) => `${name}@${version}`);
  const quiet = ['--no-audit', '--no-fund', '--loglevel=error'];
  const lean = ['--ignore-scripts', '--no-save', '--omit=optional', '--legacy-peer-deps'];
  await run('npm', ['install', ...quiet, ...lean, '--prefix', directory, ...names]);
}

async function run(command: string, args: readonly string[]): Promise<void> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    shell: process.platform === 'win32',
  });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-4000);
  });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.on('error', () => {
      reject(
        new BantamError(
          `The emoji data set is fetched with the npm client, but "${command}" could not be started; put npm on the PATH.`,
        ),
      );
    });
    child.on('close', resolve);
  });
  if (status === 0) return;
  const lines = complaint.split('\n').map((line) => line.replace(/^npm (error|ERR!) ?/, ''));
  const reason = lines.find((line) => line !== '' && !line.startsWith('code')) ?? 'no reason given';
  throw new BantamError(
    `npm could not fetch the emoji packages (${reason.trim()}); check the network and run the command again, it goes on where it stopped.`,
  );
}
