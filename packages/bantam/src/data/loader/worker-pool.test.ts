import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { BantamError } from '../../base/errors.js';
import type { DecoderSettings } from './image-decoder.js';
import { WorkerPool } from './worker-pool.js';

const settings: DecoderSettings = {
  views: { image: [] },
  seed: 1,
  decodeSide: 16,
  cache: undefined,
};
const job = { size: 8, samples: [] };

/** A pool of one worker, and how its first job ends. */
async function failure(changes: object): Promise<unknown> {
  const pool = new WorkerPool(1, { ...settings, ...changes });
  pool.hold();
  try {
    return await pool.decode(job).catch((error: unknown) => error);
  } finally {
    await pool.close();
  }
}

describe('ImageDecoder', () => {
  it('loads neither libtorch nor sharp, which take longer than an epoch of a small set', () => {
    const decoder = new URL('./image-decoder.js', import.meta.url).href;
    const script = `
      import { createRequire } from 'node:module';
      await import('${decoder}');
      console.log(Object.keys(createRequire('${decoder}').cache).join('\\n'));`;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    assert.match(stdout, /bantam_image\.node/);
    assert.doesNotMatch(stdout, /bantam_torch|sharp/);
  });
});

describe('WorkerPool', () => {
  it('produces', async () => {
    assert.deepEqual(await failure({}), { images: { image: new Uint8Array() }, failures: [] });
  });

  it('passes the failure of a job on', async () => {
    const error = await failure({ views: null });
    assert.ok(error instanceof BantamError);
    assert.match(error.message, /A data worker failed: .*null/);
  });

  it('passes the death of a worker on, to later jobs as well', async () => {
    const table = -1 as unknown as SharedArrayBuffer;
    const pool = new WorkerPool(1, { ...settings, cache: { table, used: table, pixels: table } });
    pool.hold();
    const isDeath = (error: unknown): boolean =>
      error instanceof BantamError && error.message.startsWith('A data worker failed: Invalid');
    try {
      await assert.rejects(pool.decode(job), isDeath);
      await assert.rejects(pool.decode(job), isDeath);
    } finally {
      await pool.close();
    }
  });
});
