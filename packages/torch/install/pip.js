import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { diskFull, folderSize } from './disk.js';
import { InstallError } from './install-error.js';
import { size, withHeartbeat } from './progress.js';
import { run } from './run.js';

const CONFIGURATION =
  'check the network and your pip configuration ("python3 -m pip config list", PIP_INDEX_URL, proxy), or set BANTAM_LIBTORCH to a libtorch that you have';

/**
 * Installs packages into a folder with pip and the user's own pip configuration.
 *
 * @param {object} options
 * @param {import('./python.js').Python} options.python
 * @param {readonly string[]} options.requirements e.g. `torch==2.13.0`
 * @param {string} options.target
 * @param {boolean} options.dependencies whether what they require comes along
 * @param {string} options.staging folder for pip's temporary files, on the target's disk
 * @param {import('./environment.js').Env} options.env
 */
export async function pipInstall({ python, requirements, target, dependencies, staging, env }) {
  const temporary = join(staging, 'tmp');
  mkdirSync(temporary, { recursive: true });
  const args = [
    ...['-m', 'pip', 'install', '--quiet', '--target', target],
    // pip's own cache would keep a second copy of half a gigabyte.
    '--no-cache-dir',
    ...(dependencies ? [] : ['--no-deps']),
    ...python.wheelOptions,
    ...requirements,
  ];
  const { code, output } = await withHeartbeat(
    `installing ${requirements.map((name) => name.split(/[[=]/)[0]).join(', ')}`,
    async () => `${size(await folderSize(staging))} so far`,
    () =>
      run(python.command, args, {
        env: {
          ...env,
          TMPDIR: temporary,
          PIP_NO_INPUT: '1',
          PIP_DISABLE_PIP_VERSION_CHECK: '1',
          PIP_ROOT_USER_ACTION: 'ignore',
          // A configured "--user" or "only in a virtual environment" contradicts --target.
          PIP_USER: '0',
          PIP_REQUIRE_VIRTUALENV: '0',
        },
      }),
  );
  if (code !== 0) throw pipError(requirements.join(' '), output, staging);
}

/**
 * What made pip fail, told from what it printed.
 *
 * @param {string} what the requirements
 * @param {string} output
 * @param {string} folder where it installed
 */
export function pipError(what, output, folder) {
  if (/No space left on device|Errno 28|Disk quota exceeded/.test(output)) return diskFull(folder);
  if (/MemoryError|Cannot allocate memory/.test(output)) {
    return new InstallError(
      `pip ran out of memory while it installed ${what}: close other programs and install again.`,
    );
  }
  if (/Permission denied|Errno 13|Read-only file system/.test(output)) {
    return new InstallError(
      `pip may not write to "${folder}": make it writable, or set BANTAM_CACHE to a folder of yours.`,
    );
  }
  if (/SSLError|CERTIFICATE_VERIFY_FAILED|certificate verify failed/.test(output)) {
    return new InstallError(
      `pip does not trust the package index's certificate while it fetches ${what}: set PIP_CERT to your organisation's certificates and install again.`,
    );
  }
  const unreachable =
    /NewConnectionError|Failed to establish a new connection|ConnectTimeout|ReadTimeout|Connection refused|Connection reset|ConnectionResetError|Connection aborted|ProtocolError|IncompleteRead|IncompleteDownload|Name or service not known|name resolution|ProxyError|ProxyConnectionError|Network is unreachable/;
  if (unreachable.test(output)) {
    return new InstallError(
      `pip can't reach the package index to fetch ${what}: ${CONFIGURATION}.`,
    );
  }
  const status =
    /(?:HTTP error|Client Error|Server Error)[: ]+(\d{3})|(\d{3}) (?:Client|Server) Error/.exec(
      output,
    );
  if (status) {
    return new InstallError(
      `The package index answered ${status[1] ?? status[2]} when pip asked for ${what}: ${CONFIGURATION}.`,
    );
  }
  if (/\(from versions: none\)/.test(output)) {
    return new InstallError(
      `pip found no version of ${what} at all, as if the package index could not be reached: ${CONFIGURATION}.`,
    );
  }
  if (/No matching distribution found|Could not find a version/.test(output)) {
    return new InstallError(
      `The package index that pip uses has no ${what} for this platform: ${CONFIGURATION}.`,
    );
  }
  if (/DO NOT MATCH THE HASHES|hash/i.test(output)) {
    return new InstallError(`What pip fetched for ${what} was damaged: install again.`);
  }
  const reason = output
    .trim()
    .split('\n')
    .findLast((line) => line.startsWith('ERROR:'));
  return new InstallError(
    `pip could not install ${what} (${reason?.slice(7).replace(/\.$/, '') ?? 'it was ended'}): mend that and install again.`,
  );
}
