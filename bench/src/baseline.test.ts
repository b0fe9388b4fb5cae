import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { findBaseline, setUpBaseline } from './baseline.js';
import { TemporaryFolder } from './temporary-folder.js';

describe('the baseline', () => {
  it('says how to install it where it is missing', async () => {
    using cache = new TemporaryFolder();
    await assert.rejects(findBaseline({ BANTAM_CACHE: cache.path }), {
      name: 'BantamError',
      message: /is not installed in .*; run "npm run bench -- setup" first/,
    });
  });

  it('is the Python that is named, which has to exist', async () => {
    const env = { BANTAM_BASELINE_PYTHON: process.execPath };
    assert.equal(await findBaseline(env), process.execPath);
    await assert.rejects(findBaseline({ BANTAM_BASELINE_PYTHON: '/no/python' }), /does not exist/);
  });

  it('is not there while its installation is not complete', async () => {
    using cache = new TemporaryFolder();
    mkdirSync(join(cache.path, 'baseline', 'bin'), { recursive: true });
    writeFileSync(join(cache.path, 'baseline', 'bin', 'python'), '');
    await assert.rejects(findBaseline({ BANTAM_CACHE: cache.path }), /is not installed/);
  });

  it('says what failed while it is set up', async () => {
    using cache = new TemporaryFolder();
    const env = { BANTAM_CACHE: cache.path, BANTAM_PYTHON: '/no/python' };
    await assert.rejects(setUpBaseline({ env, onOutput: () => undefined }), {
      name: 'BantamError',
      message: /"\/no\/python -m venv" could not make a virtual environment in .*ENOENT/,
    });
  });
});
