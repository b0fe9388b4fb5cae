import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Batcher, type BatcherOptions } from './batcher.js';

interface Started {
  readonly items: readonly number[];
  finish(): void;
}

/** A batcher of numbers, and the batches that it has started; each waits until it is finished. */
function batcherOf(options: Partial<BatcherOptions<number, number>> = {}) {
  const started: Started[] = [];
  const batcher = new Batcher<number, number>({
    size: 4,
    waitMs: 10,
    run: (_, items) =>
      new Promise((resolve) => {
        const finish = (): void => {
          resolve(items.map((item) => (item < 0 ? { error: new Error(`${item}`) } : { value: 10 * item }))); // prettier-ignore
        };
        started.push({ items, finish });
      }),
    ...options,
  });
  return { batcher, started };
}

describe('Batcher', () => {
  it('starts a full batch at once', () => {
    const { batcher, started } = batcherOf({ waitMs: 60_000 });
    for (const item of [1, 2, 3, 4]) void batcher.submit('text', item);
    assert.deepEqual(started.map(({ items }) => items), [[1, 2, 3, 4]]); // prettier-ignore
  });

  it('starts what there is once the oldest item has waited', async () => {
    const { batcher, started } = batcherOf({ waitMs: 20 });
    const begun = performance.now();
    const result = batcher.submit('text', 1);
    void batcher.submit('text', 2);
    assert.equal(started.at(0), undefined);
    while (started.length === 0) await sleep(1);
    assert.ok(performance.now() - begun >= 19);
    assert.deepEqual(started[0]?.items, [1, 2]);
    started[0].finish();
    assert.equal(await result, 10);
  });

  it('computes one batch at a time, and gathers items meanwhile', async () => {
    const { batcher, started } = batcherOf({ size: 2, waitMs: 0 });
    const results = [1, 2, 3, 4, 5].map((item) => batcher.submit('text', item));
    await sleep(5);
    assert.equal(started.length, 1);
    assert.equal(batcher.waiting, 4);
    for (let i = 0; i < 3; i++) {
      started[i]?.finish();
      await sleep(5);
    }
    assert.deepEqual(started.map(({ items }) => items), [[1], [2, 3], [4, 5]]); // prettier-ignore
    assert.deepEqual(await Promise.all(results), [10, 20, 30, 40, 50]);
  });

  it('keeps kinds apart and takes the one whose item is oldest', async () => {
    const { batcher, started } = batcherOf({ waitMs: 0 });
    const results = [
      batcher.submit('text', 1),
      batcher.submit('image', 2),
      batcher.submit('text', 3),
      batcher.submit('image', 4),
    ];
    for (let i = 0; i < 3; i++) {
      await sleep(5);
      started[i]?.finish();
    }
    await Promise.all(results);
    assert.deepEqual(started.map(({ items }) => items), [[1], [2, 4], [3]]); // prettier-ignore
  });

  it('puts urgent items before those of the other kind that have waited longer', async () => {
    const { batcher, started } = batcherOf({ size: 2, waitMs: 0 });
    const results = [1, 2, 3].map((item) => batcher.submit('image', item));
    results.push(batcher.submit('text', 9, { urgent: true }));
    for (let i = 0; i < 3; i++) {
      started[i]?.finish();
      await sleep(5);
    }
    await Promise.all(results);
    assert.deepEqual(started.map(({ items }) => items), [[1], [9], [2, 3]]); // prettier-ignore
  });

  it('puts urgent items first', async () => {
    const { batcher, started } = batcherOf({ size: 2, waitMs: 0 });
    const results = [1, 2, 3].map((item) => batcher.submit('text', item));
    results.push(batcher.submit('text', 9, { urgent: true }));
    for (let i = 0; i < 3; i++) {
      started[i]?.finish();
      await sleep(5);
    }
    await Promise.all(results);
    assert.deepEqual(started.map(({ items }) => items), [[1], [9, 2], [3]]); // prettier-ignore
  });

  it('fails the item that failed, and no other', async () => {
    const { batcher, started } = batcherOf({ size: 2 });
    const results = [batcher.submit('text', -1), batcher.submit('text', 2)];
    started[0]?.finish();
    const [bad, good] = await Promise.allSettled(results);
    assert.ok(bad?.status === 'rejected' && (bad.reason as Error).message === '-1');
    assert.ok(good?.status === 'fulfilled' && good.value === 20);
  });

  it('takes an aborted item out of the queue', async () => {
    const { batcher, started } = batcherOf({ waitMs: 5 });
    const controller = new AbortController();
    const gone = batcher.submit('text', 1, { signal: controller.signal });
    const stays = batcher.submit('text', 2);
    controller.abort(new Error('too late'));
    await assert.rejects(gone, /too late/);
    while (started.length === 0) await sleep(1);
    started[0]?.finish();
    assert.equal(await stays, 20);
    assert.deepEqual(started[0]?.items, [2]);
  });

  it('goes on after a batch that threw', async () => {
    let calls = 0;
    const batcher = new Batcher<number, number>({
      size: 1,
      waitMs: 0,
      run: (_, items) => {
        calls++;
        if (calls === 1) return Promise.reject(new Error('broken'));
        return Promise.resolve(items.map((value) => ({ value })));
      },
    });
    await assert.rejects(batcher.submit('text', 1), /broken/);
    assert.equal(await batcher.submit('text', 2), 2);
  });
});
