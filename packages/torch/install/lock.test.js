import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { takeLock } from './lock.js';
import { temporaryFolder } from './testing.js';

const unexpected = () => assert.fail('waited for the lock');

describe('takeLock', () => {
  it('lets one in at a time', async (t) => {
    const folder = temporaryFolder(t);
    const path = join(folder, 'lock');
    let inside = 0;
    let waits = 0;
    const visit = async () => {
      const release = await takeLock(path, () => (waits += 1));
      inside += 1;
      assert.equal(inside, 1);
      await new Promise((resolve) => setTimeout(resolve, 20));
      inside -= 1;
      release();
    };
    await Promise.all([visit(), visit(), visit()]);
    assert.equal(waits, 2);
    assert.deepEqual(readdirSync(folder), []);
  });

  it('takes over the lock of a process that has died', async (t) => {
    const path = join(temporaryFolder(t), 'lock');
    const { pid } = spawnSync(process.execPath, ['-e', '']);
    writeFileSync(path, JSON.stringify({ pid, host: hostname() }));
    const release = await takeLock(path, unexpected);
    release();
    assert.equal(existsSync(path), false);
  });

  it('takes over a lock that its holder, on another machine, no longer touches', async (t) => {
    const path = join(temporaryFolder(t), 'lock');
    writeFileSync(path, JSON.stringify({ pid: 1, host: 'another' }));
    const old = new Date(Date.now() - 120_000);
    utimesSync(path, old, old);
    (await takeLock(path, unexpected))();
  });

  it("does not release another one's lock", async (t) => {
    const path = join(temporaryFolder(t), 'lock');
    const release = await takeLock(path, unexpected);
    writeFileSync(path, 'of another');
    release();
    assert.equal(existsSync(path), true);
  });
});
