import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LIBTORCH_VERSION } from './libtorch-version.js';
import { findPrebuilt, hashFile, isAtLeast, platformPackage } from './prebuilt.js';
import { temporaryFolder, writeFiles } from './testing.js';

const name = platformPackage();
const fits = { sources: 'abc', env: {}, glibc: '2.36' };

/**
 * A folder of @bantam/torch with a platform package that it finds.
 *
 * @param {import('node:test').TestContext} t
 * @param {object} [changes] of its record
 */
function install(t, changes = {}) {
  const root = temporaryFolder(t);
  const folder = join(root, 'node_modules', name);
  writeFiles(folder, { 'package.json': '{}', 'bantam_torch.node': 'compiled' });
  const record = {
    version: LIBTORCH_VERSION,
    glibc: '2.34',
    sources: 'abc',
    files: { 'bantam_torch.node': hashFile(join(folder, 'bantam_torch.node')) },
    ...changes,
  };
  writeFileSync(join(folder, 'prebuilt.json'), JSON.stringify(record));
  return { root, folder };
}

/**
 * @param {ReturnType<typeof findPrebuilt>} found
 * @param {RegExp} reason
 */
function assertRefused(found, reason) {
  assert.ok(found && 'reason' in found, 'it was taken, or not found');
  assert.match(found.reason, reason);
}

describe('findPrebuilt', () => {
  it('takes the package of this platform where everything fits', (t) => {
    const { root, folder } = install(t);
    const found = findPrebuilt({ ...fits, root });
    assert.ok(found && 'prebuilt' in found, found?.reason);
    assert.equal(found.prebuilt.folder, folder);
  });

  it('finds nothing where the package is not installed', (t) => {
    assert.equal(findPrebuilt({ ...fits, root: temporaryFolder(t) }), undefined);
  });

  it('refuses another libtorch and other sources', (t) => {
    const { root } = install(t, { version: '1.0.0' });
    assertRefused(findPrebuilt({ ...fits, root }), /other sources/);
    assertRefused(findPrebuilt({ ...fits, ...install(t), sources: 'abd' }), /other sources/);
  });

  it('refuses an older glibc and musl', (t) => {
    const { root } = install(t);
    assertRefused(findPrebuilt({ ...fits, root, glibc: '2.31' }), /needs glibc 2\.34 and .* 2\.31/);
    assertRefused(findPrebuilt({ ...fits, root, glibc: undefined }), /another C library/);
  });

  it('leaves compilers of the user to the compiler', (t) => {
    const { root } = install(t);
    assertRefused(findPrebuilt({ ...fits, root, env: { CXX: 'clang++' } }), /CXX/);
  });

  it('refuses files whose hash differs, and missing ones', (t) => {
    const { root, folder } = install(t);
    writeFileSync(join(folder, 'bantam_torch.node'), 'compilee');
    assertRefused(findPrebuilt({ ...fits, root }), /bantam_torch\.node" is damaged/);
    const missing = install(t, { files: { 'bantam_image.node': '00' } });
    assertRefused(findPrebuilt({ ...fits, ...missing }), /bantam_image\.node" is damaged/);
  });
});

describe('isAtLeast', () => {
  it('compares versions number by number', () => {
    assert.ok(isAtLeast('2.36', '2.4'));
    assert.ok(isAtLeast('2.34', '2.34'));
    assert.ok(!isAtLeast('2.9', '2.34'));
    assert.ok(!isAtLeast(undefined, '2.0'));
  });
});
