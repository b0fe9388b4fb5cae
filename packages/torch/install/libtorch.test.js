import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspectLibtorch, libtorchOfUser } from './libtorch.js';
import { LIBTORCH_VERSION } from './libtorch-version.js';
import { libtorchFiles, shared, temporaryFolder, writeFiles } from './testing.js';

describe('inspectLibtorch', () => {
  it('reads the version from the headers and the build from a wheel', (t) => {
    const path = temporaryFolder(t);
    const versionPy = "__version__ = '2.13.0+cu130'\n";
    writeFiles(path, { ...libtorchFiles('2.13.0'), 'version.py': versionPy });
    assert.deepEqual(inspectLibtorch(path), {
      path,
      version: '2.13.0',
      build: '2.13.0+cu130',
      cuda: false,
    });
  });

  it('reads the build of a libtorch folder and sees its CUDA backend', (t) => {
    const path = temporaryFolder(t);
    writeFiles(path, {
      ...libtorchFiles('2.13.0'),
      'build-version': '2.13.0+cpu\n',
      [`lib/libtorch_cuda.${shared}`]: '',
    });
    assert.equal(inspectLibtorch(path)?.build, '2.13.0+cpu');
    assert.equal(inspectLibtorch(path)?.cuda, true);
  });

  it('does not take an empty folder for a libtorch', (t) => {
    assert.equal(inspectLibtorch(temporaryFolder(t)), undefined);
  });
});

describe('libtorchOfUser', () => {
  it('is undefined where BANTAM_LIBTORCH is unset', () => {
    assert.equal(libtorchOfUser({}), undefined);
  });

  it('accepts the pinned version', (t) => {
    const path = temporaryFolder(t);
    writeFiles(path, libtorchFiles(LIBTORCH_VERSION));
    assert.equal(libtorchOfUser({ BANTAM_LIBTORCH: path })?.version, LIBTORCH_VERSION);
  });

  it('refuses another version and names both', (t) => {
    const path = temporaryFolder(t);
    writeFiles(path, libtorchFiles('2.9.1'));
    assert.throws(
      () => libtorchOfUser({ BANTAM_LIBTORCH: path }),
      (/** @type {Error} */ error) =>
        error.message.includes('2.9.1') && error.message.includes(LIBTORCH_VERSION),
    );
  });

  it('refuses a folder without a libtorch', (t) => {
    const path = temporaryFolder(t);
    assert.throws(() => libtorchOfUser({ BANTAM_LIBTORCH: path }), /holds no libtorch/);
  });
});
