import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { serveSchema } from '../settings.js';
import { read } from '../../base/schema.js';
import { Pending, requestSignal } from './pending.js';
import { RequestError } from './request-error.js';

const { limits } = read(
  serveSchema,
  { limits: { bodyBytes: 1000, pendingBytes: 2500 } },
  { where: 'test' },
);

/** A server that counts its requests and answers each once `release` resolves. */
async function withServer(
  run: (context: { url: string; pending: Pending; release: () => void; reasons: unknown[] }) => Promise<void>, // prettier-ignore
): Promise<void> {
  const pending = new Pending(limits);
  const reasons: unknown[] = [];
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const server = createServer((incoming, outgoing) => {
    try {
      pending.add({ incoming, outgoing });
    } catch (error) {
      outgoing.writeHead(error instanceof RequestError ? error.status : 500).end();
      return;
    }
    const signal = requestSignal(outgoing, 0.2);
    signal.addEventListener('abort', () => reasons.push(signal.reason));
    incoming.resume();
    void released.then(() => outgoing.end('done'));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    await run({ url: `http://127.0.0.1:${port}/`, pending, release, reasons });
  } finally {
    release();
    server.closeAllConnections();
    server.close();
  }
}

const send = (url: string, bytes: number): Promise<number> =>
  fetch(url, { method: 'POST', body: 'a'.repeat(bytes) }).then(({ status }) => status);

describe('Pending', () => {
  it('counts requests and bytes until they are answered, and refuses bytes beyond its bound', async () => {
    await withServer(async ({ url, pending, release }) => {
      const first = [send(url, 1000), send(url, 1000)];
      while (pending.requests < 2) await sleep(2);
      assert.equal(pending.bytes, 2000);
      assert.equal(await send(url, 600), 429);
      const small = send(url, 400);
      while (pending.requests < 3) await sleep(2);
      let none = false;
      const waiting = pending.none(5).then(() => (none = true));
      await sleep(20);
      assert.equal(none, false);
      release();
      assert.deepEqual(await Promise.all([...first, small]), [200, 200, 200]);
      await waiting;
      assert.deepEqual([pending.requests, pending.bytes], [0, 0]);
    });
  });
});

describe('requestSignal', () => {
  it('aborts a request that takes too long, and one whose client has gone', async () => {
    await withServer(async ({ url, reasons, release }) => {
      const controller = new AbortController();
      const gone = fetch(url, { signal: controller.signal }).catch(() => undefined);
      await sleep(50);
      controller.abort();
      await gone;
      const late = send(url, 1);
      while (reasons.length < 2) await sleep(5);
      release();
      await late;
      assert.deepEqual(reasons.map((reason) => (reason as RequestError).status), [499, 504]); // prettier-ignore
    });
  });
});
