import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';

/** Settings that libgomp reports when libtorch is loaded, and those that a child process inherits. */
function loadTorch(changes: Readonly<Record<string, string>>): {
  spins: string | undefined;
  left: string;
} {
  const env: NodeJS.ProcessEnv = { ...process.env, OMP_DISPLAY_ENV: 'VERBOSE' };
  delete env.OMP_WAIT_POLICY;
  delete env.GOMP_SPINCOUNT;
  const module = new URL('./index.js', import.meta.url).href;
  const script = `await import('${module}'); console.log(String(process.env.GOMP_SPINCOUNT));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...env, ...changes },
    encoding: 'utf8',
  });
  return { spins: /(?<=GOMP_SPINCOUNT = ').*(?=')/.exec(stderr)?.[0], left: stdout.trim() };
}

describe('threads of libgomp', { skip: process.platform !== 'linux' }, () => {
  it('spin for a short time, unlike those of child processes', () => {
    assert.deepEqual(loadTorch({}), { spins: '10000', left: 'undefined' });
  });

  it('use the settings of the user', () => {
    assert.deepEqual(loadTorch({ GOMP_SPINCOUNT: '77' }), { spins: '77', left: '77' });
    assert.notEqual(loadTorch({ OMP_WAIT_POLICY: 'active' }).spins, '10000');
  });
});
