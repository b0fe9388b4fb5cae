import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { withFileLock } from './file-lock.js';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'bantam-lock-'));
});
after(() => rm(root, { recursive: true }));

/** The number of a process that has ended. */
async function deadProcess(): Promise<number> {
  const child = spawn(process.execPath, ['-e', '']);
  await once(child, 'close');
  return child.pid ?? assert.fail();
}

const lockOf = (id: number, host = hostname()) =>
  JSON.stringify({ process: id, host, token: `token-${id}` });

describe('withFileLock', () => {
  it('runs one body at a time, and leaves no file', async () => {
    const path = join(root, 'deep', 'one.lock');
    let inside = 0;
    let most = 0;
    const waited: number[] = [];
    const body = async (): Promise<void> => {
      most = Math.max(most, ++inside);
      await sleep(20);
      inside--;
    };
    const runs = Array.from({ length: 4 }, () => withFileLock(path, body, (id) => waited.push(id)));
    await Promise.all(runs);
    assert.equal(most, 1);
    assert.ok(waited.length > 0 && waited.every((id) => id === process.pid));
    assert.deepEqual(await readdir(join(root, 'deep')), []);
  });

  it('is free again after a body that fails', async () => {
    const path = join(root, 'failing.lock');
    await assert.rejects(
      withFileLock(path, () => Promise.reject(new Error('no'))),
      /no/,
    );
    assert.equal(await withFileLock(path, () => Promise.resolve(7)), 7);
  });

  it('takes over the lock of a process that was killed, once among several', async () => {
    const path = join(root, 'dead.lock');
    await writeFile(path, lockOf(await deadProcess()));
    let inside = 0;
    const body = async (): Promise<void> => {
      assert.equal(++inside, 1);
      await sleep(10);
      inside--;
    };
    await Promise.all(Array.from({ length: 5 }, () => withFileLock(path, body)));
    assert.ok(!existsSync(path));
  });

  it("takes over another machine's lock, or a damaged one, after a minute without a sign of life", async () => {
    for (const [name, content] of [
      ['far.lock', lockOf(1, 'elsewhere')],
      ['damaged.lock', '{'],
    ] as const) {
      const path = join(root, name);
      await writeFile(path, content);
      const old = new Date(Date.now() - 61_000);
      await utimes(path, old, old);
      assert.equal(await withFileLock(path, () => Promise.resolve(1)), 1);
    }
  });
});
