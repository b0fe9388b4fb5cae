import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { findPeer, setUpPeer } from './baseline.js';
import { TemporaryFolder } from './temporary-folder.js';

describe('the peer', () => {
  it('says how to install it where it is missing', async () => {
    using cache = new TemporaryFolder();
    await assert.rejects(findPeer({ BANTAM_CACHE: cache.path }), {
      name: 'BantamError',
      message: /is not installed in .*; run "npm run bench -- setup" first/,
    });
  });

  it('is the Python that is named, which has to exist', async () => {
    const env = { BANTAM_PEER_PYTHON: process.execPath };
    assert.equal(await findPeer(env), process.execPath);
    await assert.rejects(findPeer({ BANTAM_PEER_PYTHON: '/no/python' }), /does not exist/);
  });

  it('is not there while its installation is not complete', async () => {
    using cache = new TemporaryFolder();
    mkdirSync(join(cache.path, 'peer', 'bin'), { recursive: true });
    writeFileSync(join(cache.path, 'peer', 'bin', 'python'), '');
    await assert.rejects(findPeer({ BANTAM_CACHE: cache.path }), /is not installed/);
  });

  it('says what failed while it is set up', async () => {
    using cache = new TemporaryFolder();
    const env = { BANTAM_CACHE: cache.path, BANTAM_PYTHON: '/no/python' };
    await assert.rejects(setUpPeer({ env, onOutput: () => undefined }), {
      name: 'BantamError',
      message: /"\/no\/python -m venv" could not make a virtual environment in .*ENOENT/,
    });
  });
});
