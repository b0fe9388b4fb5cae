import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { checkSpace, folderSize, openCache } from './disk.js';
import { duration, size } from './progress.js';
import { temporaryFolder, writeFiles } from './testing.js';

describe('openCache', () => {
  it('makes the folder and leaves it empty', (t) => {
    const folder = join(temporaryFolder(t), 'a', 'b');
    openCache(folder);
    assert.deepEqual(readdirSync(folder), []);
  });
});

describe('checkSpace', () => {
  it('says how much is needed', async (t) => {
    const folder = temporaryFolder(t);
    await checkSpace(folder, 1);
    await assert.rejects(checkSpace(folder, 1e18), /needs 1000000000\.0 GB of free space/);
  });
});

describe('folderSize', () => {
  it('adds up files in all folders', async (t) => {
    const folder = temporaryFolder(t);
    writeFiles(folder, { a: '123', 'b/c': '45' });
    assert.equal(await folderSize(folder), 5);
    assert.equal(await folderSize(join(folder, 'missing')), 0);
  });
});

describe('progress', () => {
  it('writes sizes and times as people do', () => {
    assert.equal(size(61_400_000), '61 MB');
    assert.equal(size(1_340_000_000), '1.3 GB');
    assert.equal(duration(8200), '8 s');
    assert.equal(duration(125_000), '2 min 5 s');
  });
});
