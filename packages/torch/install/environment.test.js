import assert from 'node:assert/strict';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { cacheFolder, checkPlatform, hasNvidiaDriver, wantsCuda } from './environment.js';
import { InstallError } from './install-error.js';

describe('cacheFolder', () => {
  it('prefers BANTAM_CACHE, then XDG_CACHE_HOME, then the home folder', () => {
    assert.equal(cacheFolder({ BANTAM_CACHE: '/a', XDG_CACHE_HOME: '/b' }), '/a');
    assert.equal(cacheFolder({ BANTAM_CACHE: '', XDG_CACHE_HOME: '/b' }), '/b/bantam');
    assert.equal(cacheFolder({}), join(homedir(), '.cache', 'bantam'));
  });
});

describe('wantsCuda', () => {
  it('follows the driver unless BANTAM_CUDA says otherwise', () => {
    assert.equal(wantsCuda({}, true), true);
    assert.equal(wantsCuda({}, false), false);
    assert.equal(wantsCuda({ BANTAM_CUDA: 'auto' }, true), true);
    assert.equal(wantsCuda({ BANTAM_CUDA: 'auto' }, false), false);
    assert.equal(wantsCuda({ BANTAM_CUDA: '0' }, true), false);
    assert.equal(wantsCuda({ BANTAM_CUDA: '1' }, false), true);
  });

  it('refuses other values', () => {
    assert.throws(() => wantsCuda({ BANTAM_CUDA: 'yes' }, false), InstallError);
    assert.throws(() => wantsCuda({ BANTAM_CUDA: 'yes' }, false), /auto, 1 or 0/);
  });
});

describe('hasNvidiaDriver', () => {
  it('sees the driver of Linux, of a container and of WSL 2', () => {
    const files = [
      '/proc/driver/nvidia/version',
      '/dev/nvidiactl',
      '/usr/lib/wsl/lib/libcuda.so.1',
    ];
    for (const file of files)
      assert.equal(
        hasNvidiaDriver((path) => path === file),
        true,
      );
    assert.equal(
      hasNvidiaDriver(() => false),
      false,
    );
  });
});

describe('checkPlatform', () => {
  const debian = { platform: 'linux', arch: 'x64', glibc: '2.36' };

  it('accepts the platforms that have wheels', () => {
    checkPlatform({}, debian);
    checkPlatform({}, { ...debian, arch: 'arm64' });
    checkPlatform({}, { platform: 'darwin', arch: 'arm64', glibc: undefined });
  });

  it('refuses the others, and names them', () => {
    assert.throws(() => checkPlatform({}, { ...debian, arch: 'ia32' }), /linux-ia32/);
    assert.throws(() => checkPlatform({}, { ...debian, glibc: undefined }), /musl/);
    assert.throws(() => checkPlatform({}, { ...debian, platform: 'win32' }), /WSL/);
  });

  it('leaves a libtorch of the user alone, except on Windows', () => {
    const env = { BANTAM_LIBTORCH: '/libtorch' };
    checkPlatform(env, { ...debian, arch: 'riscv64' });
    checkPlatform(env, { ...debian, glibc: undefined });
    assert.throws(() => checkPlatform(env, { ...debian, platform: 'win32' }), /WSL/);
  });
});
