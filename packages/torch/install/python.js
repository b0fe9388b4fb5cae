import { InstallError } from './install-error.js';
import { run } from './run.js';

/** Python versions for which libtorch's wheels exist, as minor versions of Python 3. */
const WHEEL_PYTHONS = { oldest: 10, newest: 14 };
/** The first pip that knows the wheels' platform tags. */
const MIN_PIP = [20, 3];

/**
 * @typedef {object} Python
 * @property {string} command
 * @property {string[]} wheelOptions pip options with which any Python 3 picks a wheel
 */

/**
 * Finds a Python 3 with pip, or says what is missing.
 *
 * @param {import('./environment.js').Env} env `BANTAM_PYTHON` names a certain Python
 * @returns {Promise<Python>}
 */
export async function findPython(env) {
  const candidates = env.BANTAM_PYTHON ? [env.BANTAM_PYTHON] : ['python3', 'python'];
  for (const command of candidates) {
    const { code, output } = await run(
      command,
      ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'],
      { env },
    );
    const [, minor] = /^3\.(\d+)$/m.exec(output) ?? [];
    if (code !== 0 || minor === undefined) continue;
    checkPip(command, await run(command, ['-m', 'pip', '--version'], { env }));
    return { command, wheelOptions: wheelOptions(Number(minor)) };
  }
  throw new InstallError(
    `Python 3 is missing ("${candidates.join('" and "')}" did not start), and libtorch comes with its pip: install it with "${process.platform === 'darwin' ? 'brew install python' : 'apt-get install python3 python3-pip'}", or set BANTAM_LIBTORCH to a libtorch that you have.`,
  );
}

/**
 * The wheel's C++ part is the same for every Python, so a Python without a wheel of its own takes
 * another's.
 *
 * @param {number} minor
 * @returns {string[]}
 */
export function wheelOptions(minor) {
  const { oldest, newest } = WHEEL_PYTHONS;
  if (minor >= oldest && minor <= newest) return [];
  return ['--only-binary=:all:', '--python-version', `3.${minor < oldest ? oldest : newest}`];
}

/**
 * @param {string} command
 * @param {{ code: number | null, output: string }} result of `pip --version`
 */
export function checkPip(command, { code, output }) {
  const [, major, minor] = /^pip (\d+)\.(\d+)/m.exec(output) ?? [];
  if (code !== 0 || major === undefined) {
    throw new InstallError(
      `pip is missing ("${command} -m pip" does not run): install it with "${process.platform === 'darwin' ? `${command} -m ensurepip --upgrade` : 'apt-get install python3-pip'}".`,
    );
  }
  if (Number(major) < MIN_PIP[0] || (Number(major) === MIN_PIP[0] && Number(minor) < MIN_PIP[1])) {
    throw new InstallError(
      `pip ${major}.${minor} is too old for libtorch's wheels: update it with "${command} -m pip install --upgrade pip".`,
    );
  }
}
