import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import sharp from 'sharp';
import { decodeImage } from '../../data/images/decode.js';
import { evalTransform } from '../../data/images/eval-transform.js';
import { DecodePool } from './decode-pool.js';

const geometry = {
  size: 16,
  interpolation: 'bicubic',
  antialias: true,
  resizeMode: 'shortest',
} as const;

async function png(width: number, height: number): Promise<Uint8Array<ArrayBuffer>> {
  const noise = { type: 'gaussian', mean: 128, sigma: 40 } as const;
  const image = sharp({ create: { width, height, channels: 3, background: '#000', noise } });
  return new Uint8Array(await image.png().toBuffer());
}

describe('DecodePool', () => {
  const pool = new DecodePool({ threads: 2, mostPixels: 10_000, seconds: 20 });
  after(() => pool.close());

  it('gives the pixels of the evaluation transform', async () => {
    const file = await png(40, 30);
    const wanted = evalTransform(await decodeImage(file), geometry);
    assert.deepEqual(await pool.decode(file, geometry), new Uint8Array(wanted.data));
  });

  it('fails bad images alone, in whatever order they come', async () => {
    const files = await Promise.all(
      Array.from({ length: 12 }, async (_, i) => {
        if (i % 3 === 0) return new Uint8Array([1, 2, 3]);
        return i % 3 === 1 ? png(200, 60) : png(30, 30);
      }),
    );
    const results = await Promise.allSettled(files.map((file) => pool.decode(file, geometry)));
    for (const [i, result] of results.entries()) {
      if (i % 3 === 2) assert.equal(result.status, 'fulfilled');
      else {
        assert.ok(result.status === 'rejected');
        const wanted = i % 3 === 0 ? /no JPEG, PNG/ : /200 × 60 pixels; at most 10000 are decoded/;
        assert.match((result.reason as Error).message, wanted);
      }
    }
  });

  it('does not begin an image whose request has gone', async () => {
    const controller = new AbortController();
    controller.abort(new Error('gone'));
    await assert.rejects(pool.decode(await png(20, 20), geometry, controller.signal), /gone/);
  });

  it('ends a thread that takes too long, and fails its image alone', async () => {
    const hasty = new DecodePool({ threads: 1, mostPixels: 10_000, seconds: 0.001 });
    await assert.rejects(hasty.decode(await png(20, 20), geometry), {
      name: 'RequestError',
      status: 400,
      message: 'The image takes longer than 0.001 s to decode.',
    });
    await hasty.close();
    assert.equal((await pool.decode(await png(20, 20), geometry)).length, 16 * 16 * 3);
  });
});
