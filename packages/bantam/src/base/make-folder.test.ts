import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { makeFolder } from './make-folder.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-test-'));
after(() => {
  rmSync(folder, { recursive: true });
});

describe('makeFolder', () => {
  it('makes the folders above as well, and may find all of them there', () => {
    const path = join(folder, 'a', 'b', 'c');
    makeFolder(path);
    makeFolder(path);
    assert.ok(existsSync(path));
  });

  it('fails where a file is in the way or nothing can be made', () => {
    writeFileSync(join(folder, 'file'), '');
    assert.throws(() => {
      makeFolder(join(folder, 'file'));
    }, /EEXIST/);
    assert.throws(() => {
      makeFolder(join(folder, 'file', 'below'));
    }, /ENOTDIR/);
  });

  it('fails in a file system that takes no folders', { skip: !existsSync('/proc/self') }, () => {
    assert.throws(() => {
      makeFolder('/proc/bantam/run');
    }, /ENOENT|EACCES|EPERM/);
  });
});
