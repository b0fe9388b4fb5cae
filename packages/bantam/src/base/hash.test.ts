import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { addFile, fileDigest, hashText } from './hash.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-hash-'));
after(() => {
  rmSync(folder, { recursive: true });
});

describe('hashText', () => {
  it('is FNV-1a with the final mix of MurmurHash3', () => {
    // FNV-1a of no bytes is its offset basis, which the final mix then changes.
    const mixed = (start: number): number => {
      let hash = Math.imul(start ^ (start >>> 16), 0x85ebca6b);
      hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
      return hash ^ (hash >>> 16);
    };
    assert.equal(hashText(''), mixed(0x811c9dc5));
    // The published FNV-1a of "a" is e40c292c.
    assert.equal(hashText('a'), mixed(0xe40c292c));
    assert.notEqual(hashText('ab'), hashText('ba'));
  });
});

describe('fileDigest', () => {
  it('is the SHA-256 of files of more than one part, and of several as one', async () => {
    const file = join(folder, 'large');
    const bytes = Buffer.alloc(2 ** 20 + 3, 'bantam');
    writeFileSync(file, bytes);
    assert.equal(await fileDigest(file), createHash('sha256').update(bytes).digest('hex'));
    const twice = createHash('sha256');
    await addFile(twice, file);
    await addFile(twice, file);
    const expected = createHash('sha256').update(bytes).update(bytes);
    assert.equal(twice.digest('hex'), expected.digest('hex'));
  });

  it("throws the system's error for a file that is not there", async () => {
    await assert.rejects(fileDigest(join(folder, 'none')), { code: 'ENOENT' });
  });
});
