import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkVersions, compileJobs, findToolchain } from './toolchain.js';

const CMAKE = 'cmake version 3.25.1\n';

describe('checkVersions', () => {
  it('accepts compilers with C++20', () => {
    checkVersions(CMAKE, 'c++ (Debian 12.2.0-14+deb12u1) 12.2.0');
    checkVersions(CMAKE, 'g++ (Ubuntu 10.5.0-1ubuntu1~22.04) 10.5.0');
    checkVersions(CMAKE, 'Ubuntu clang version 14.0.0-1ubuntu1.1');
    checkVersions(CMAKE, 'Apple clang version 15.0.0 (clang-1500.3.9.4)');
    checkVersions('cmake version 4.1.0', 'some other compiler');
  });

  it('refuses older ones', () => {
    assert.throws(() => checkVersions(CMAKE, 'g++ (Ubuntu 9.4.0-1) 9.4.0'), /too old for C\+\+20/);
    assert.throws(() => checkVersions(CMAKE, 'clang version 11.0.1-2'), /too old for C\+\+20/);
    assert.throws(() => checkVersions('cmake version 3.16.3', 'c++ (x) 12.2.0'), /CMake 3\.16/);
  });
});

describe('compileJobs', () => {
  it('takes the number that the user sets', () => {
    assert.equal(compileJobs({ CMAKE_BUILD_PARALLEL_LEVEL: '3' }), 3);
  });

  it('is at least one', () => {
    assert.ok(compileJobs({}) >= 1);
    assert.ok(compileJobs({ CMAKE_BUILD_PARALLEL_LEVEL: '0' }) >= 1);
  });
});

describe('findToolchain', () => {
  it('names a missing compiler', async () => {
    const env = { PATH: '/nonexistent', CXX: 'no-such-compiler' };
    await assert.rejects(findToolchain(env), /no-such-compiler.*install/);
  });
});
