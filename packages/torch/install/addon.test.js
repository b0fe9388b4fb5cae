import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { hashRecord, hashSources } from './addon.js';
import { compileError } from './compile.js';
import { temporaryFolder, writeFiles } from './testing.js';

describe('hashSources', () => {
  it('depends on names and contents, not on where the folder is', (t) => {
    const files = { 'a.cc': 'int a;', 'kernels/b.cc': 'int b;' };
    const hash = (/** @type {Record<string, string>} */ contents) => {
      const folder = temporaryFolder(t);
      writeFiles(folder, contents);
      return hashSources(folder);
    };
    const original = hash(files);
    assert.equal(hash(files), original);
    assert.notEqual(hash({ ...files, 'a.cc': 'int c;' }), original);
    assert.notEqual(hash({ 'c.cc': files['a.cc'], 'kernels/b.cc': 'int b;' }), original);
    assert.notEqual(hash({ ...files, 'c.h': '' }), original);
  });
});

describe('hashRecord', () => {
  const record = {
    libtorch: '/libtorch',
    version: '2.13.0',
    build: '2.13.0+cpu',
    jpeg: false,
    compiler: 'c++ 12.2.0',
    flags: '',
    nodeApi: 'node-api-headers 1.9.0',
    platform: 'linux-x64',
    sources: 'abc',
  };

  it('changes with every entry', () => {
    const hashes = new Set([hashRecord(record)]);
    for (const key of Object.keys(record)) hashes.add(hashRecord({ ...record, [key]: 'other' }));
    assert.equal(hashes.size, 1 + Object.keys(record).length);
  });

  it('does not depend on the order of the entries', () => {
    const reversed = Object.fromEntries(Object.entries(record).reverse());
    assert.equal(hashRecord(/** @type {typeof record} */ (reversed)), hashRecord(record));
  });
});

describe('compileError', () => {
  it('tells a full disk and too little memory from an error in the sources', (t) => {
    const shown = t.mock.method(console, 'error', () => {});
    const message = (/** @type {string} */ output) => compileError('/log', output).message;
    assert.match(message('as: final write: No space left on device'), /disk is full/);
    assert.match(message('c++: fatal error: Killed signal terminated program'), /memory ran out/);
    assert.equal(shown.mock.callCount(), 0);
    assert.match(message('[1/2] x\na.cc:1:5: error: no\na.cc:1:5: error: no\n'), /"\/log"/);
    assert.deepEqual(
      shown.mock.calls.map((call) => call.arguments[0]),
      ['a.cc:1:5: error: no'],
    );
  });
});
