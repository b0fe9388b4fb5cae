import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { saveSafetensors, tensor } from '@bantam/torch';
import { openIndex } from 'bantam';
import { readIndex } from './index-file.js';
import { normalized } from './vectors.js';

describe('readIndex', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-web-index-'));
  after(() => {
    rmSync(folder, { recursive: true });
  });

  /** An embedding file of these rows. */
  function write(rows: number[][], keys: unknown): Uint8Array {
    const path = join(folder, 'index.safetensors');
    using image = tensor(rows);
    saveSafetensors(path, new Map([['image', image]]), {
      metadata: { keys: JSON.stringify(keys) },
    });
    return readFileSync(path);
  }

  it('finds what Bantam finds, with the same scores', async () => {
    const rows = Array.from({ length: 40 }, (_, i) => [
      ...normalized([Math.sin(i), Math.cos(2 * i), Math.sin(3 * i + 1), i / 40]),
    ]);
    const bytes = write(
      rows,
      rows.map((_, i) => `image-${i}`),
    );
    const query = normalized([0.3, -0.2, 0.9, 0.1]);
    const own = await openIndex(join(folder, 'index.safetensors'));
    const index = readIndex(bytes, 'index.safetensors');
    const queries = [[{ kind: 'text', vector: query }]] as const;
    const [wanted = []] = await own.search({ queries, k: 7 });
    const found = index.nearest(query, 7);
    assert.deepEqual(
      found.map(({ key, row }) => [key, row]),
      wanted.map(({ key, row }) => [key, row]),
    );
    for (const [rank, { score }] of found.entries()) {
      assert.ok(Math.abs(score - Number(wanted[rank]?.score)) < 1e-6);
    }
    assert.deepEqual([index.size, index.width], [40, 4]);
  });

  for (const [title, make, message] of [
    ['too short a file', () => new Uint8Array(5), /not a whole safetensors file/],
    ['a file that is cut off', () => write([[1, 0]], ['a']).subarray(0, -4), /does not hold/],
    ['another number of keys', () => write([[1, 0]], ['a', 'b']), /does not hold/],
    ['numbers that are not finite', () => write([[NaN, 0]], ['a']), /not finite/],
  ] as const) {
    it(`refuses ${title}`, () => {
      assert.throws(() => readIndex(make(), 'photos.safetensors'), message);
    });
  }
});
