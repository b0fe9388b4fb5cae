/** npm's install script of @bantam/torch: gets libtorch and compiles the addon (docs/install.md). */
import { InstallError } from './install-error.js';

const MIN_NODE = [20, 19];

const [major, minor] = process.versions.node.split('.').map(Number);
try {
  if (major < MIN_NODE[0] || (major === MIN_NODE[0] && minor < MIN_NODE[1])) {
    throw new InstallError(
      `Node ${process.versions.node} is too old: install Node ${MIN_NODE.join('.')} or newer.`,
    );
  }
  if (process.env.BANTAM_SKIP_NATIVE === '1') {
    console.log(
      'bantam: BANTAM_SKIP_NATIVE=1: no libtorch, no addon; nothing that computes will run.',
    );
  } else {
    // Only now: the rest of the installer uses what older versions of Node lack.
    const { main } = await import('./main.js');
    await main(process.env);
  }
} catch (error) {
  console.error(`bantam: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
