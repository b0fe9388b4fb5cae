import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from './testing.js';

const SCRIPT = fileURLToPath(new URL('install.js', import.meta.url));

/**
 * Runs the install script.
 *
 * @param {Record<string, string>} env all of its environment
 * @param {readonly string[]} nodeOptions
 */
function install(env, nodeOptions = []) {
  const options = { env, encoding: /** @type {const} */ ('utf8') };
  return spawnSync(process.execPath, [...nodeOptions, SCRIPT], options);
}

/**
 * @param {ReturnType<typeof install>} result
 * @param {RegExp} sentence
 */
function assertOneSentence(result, sentence) {
  assert.equal(result.status, 1);
  assert.match(result.stderr, sentence);
  assert.match(result.stderr, /^bantam: [^\n]+\.\n$/);
}

describe('install.js', () => {
  it('does nothing with BANTAM_SKIP_NATIVE=1', () => {
    const { status, stderr } = install({ BANTAM_SKIP_NATIVE: '1', PATH: '/nonexistent' });
    assert.equal(status, 0);
    assert.equal(stderr, '');
  });

  it('names the missing compiler', (t) => {
    const env = { BANTAM_CACHE: temporaryFolder(t), PATH: '/nonexistent' };
    assertOneSentence(install(env), /no C\+\+ compiler/);
  });

  it('names a cache folder that is none', (t) => {
    const file = join(temporaryFolder(t), 'file');
    writeFileSync(file, '');
    assertOneSentence(install({ BANTAM_CACHE: file }), /can't be written \(EEXIST\)/);
    assertOneSentence(install({ BANTAM_CACHE: join(file, 'x') }), /can't be written \(ENOTDIR\)/);
  });

  it('refuses an old Node', () => {
    const versions = { ...process.versions, node: '18.20.1' };
    const preload = `Object.defineProperty(process, 'versions', { value: ${JSON.stringify(versions)} })`;
    const result = install({}, ['--import', `data:text/javascript,${encodeURIComponent(preload)}`]);
    assertOneSentence(result, /Node 18\.20\.1 is too old/);
  });
});
