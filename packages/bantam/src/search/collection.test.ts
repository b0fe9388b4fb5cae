import assert from 'node:assert/strict';
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { clusteredVectors, rowOf } from '../test-support/vectors.js';
import { Collection } from './collection.js';
import { openIndex } from './search-index.js';
import { openFolderStore } from './store.js';

const directory = mkdtempSync(join(tmpdir(), 'bantam-collection-'));
after(() => {
  rmSync(directory, { recursive: true });
});

const width = 4;
const values = clusteredVectors(200, width);
let folders = 0;
const newFolder = (): string => join(directory, String(folders++));

/** Adds rows from … to − 1 of `values`, keyed by their number. */
function add(collection: Collection, from: number, to: number): void {
  for (let row = from; row < to; row++) {
    collection.add({
      record: { key: `k${row}`, meta: { row: String(row) } },
      image: rowOf(values, row, width),
    });
  }
}

async function keysIn(folder: string): Promise<string[]> {
  const store = await openFolderStore(folder);
  const keys = Array.from(store.records(), ([row, { key }]) => {
    // The vector beside a record is its own.
    const own = [...rowOf(values, Number(key.slice(1)), width)];
    assert.deepEqual([...rowOf(store.images.toTypedArray() as Float32Array, row, width)], own);
    return key;
  });
  assert.equal(store.size, keys.length);
  store.close();
  return keys;
}

describe('Collection', () => {
  it('keeps what was committed, and drops what was not, whatever a killed process wrote', async () => {
    const folder = newFolder();
    const killed = await Collection.open(folder, { width });
    add(killed, 0, 3);
    killed.commit();
    add(killed, 3, 5);
    killed.close();
    assert.deepEqual(await keysIn(folder), ['k0', 'k1', 'k2']);
    for (const file of ['images-1.f32', 'records-1.jsonl'])
      appendFileSync(join(folder, file), 'half a');
    assert.deepEqual(await keysIn(folder), ['k0', 'k1', 'k2']);
    using resumed = await Collection.open(folder, { width });
    add(resumed, 4, 6);
    resumed.commit();
    assert.deepEqual(await keysIn(folder), ['k0', 'k1', 'k2', 'k4', 'k5']);
  });

  it('replaces and removes rows by key, and forgets them when it is compacted', async () => {
    const folder = newFolder();
    using collection = await Collection.open(folder, { width });
    add(collection, 0, 5);
    collection.commit();
    add(collection, 3, 4);
    collection.remove(Number(collection.find('k1')));
    assert.equal(collection.find('k1'), undefined);
    collection.commit();
    assert.deepEqual(await keysIn(folder), ['k0', 'k2', 'k4', 'k3']);
    assert.equal(collection.find('k1'), undefined);
    assert.equal(collection.find('k3'), 5);
    add(collection, 1, 2);
    collection.commit();
    collection.compact();
    assert.equal(collection.removed, 0);
    assert.deepEqual(await keysIn(folder), ['k0', 'k2', 'k4', 'k3', 'k1']);
    assert.equal(collection.find('k1'), 4);
    assert.equal(readFileSync(join(folder, 'images-2.f32')).length, 5 * width * 4);
    assert.ok(!readdirSync(folder).includes('images-1.f32'));
    add(collection, 10, 12);
    collection.commit();
    assert.equal((await keysIn(folder)).length, 7);
  });

  it('has thousands of keys, each found again after reopening', async () => {
    const folder = newFolder();
    const rows = 5000;
    {
      using collection = await Collection.open(folder, { width });
      for (let row = 0; row < rows; row++) {
        collection.add({ record: { key: `image ${row}` }, image: rowOf(values, row % 200, width) });
      }
      collection.commit();
      for (let row = 0; row < rows; row += 3) collection.remove(row);
      collection.commit();
    }
    using collection = await Collection.open(folder, { width });
    for (let row = 0; row < rows; row++) {
      assert.equal(collection.find(`image ${row}`), row % 3 === 0 ? undefined : row);
    }
    assert.equal(collection.find('image'), undefined);
  });

  it('refuses vectors that are not finite, zero, or of another width, by key', async () => {
    using collection = await Collection.open(newFolder(), { width });
    const refuse = (image: Float32Array, message: RegExp): void => {
      assert.throws(
        () => {
          collection.add({ record: { key: 'bad.png' }, image });
        },
        { name: 'BantamError', message },
      );
    };
    refuse(
      Float32Array.of(1, NaN, 0, 0),
      /"bad\.png" has a vector with values that are not finite/,
    );
    refuse(Float32Array.of(1, Infinity, 0, 0), /not finite/);
    refuse(new Float32Array(4), /zeros/);
    refuse(new Float32Array(3), /3 dimensions, and the index has 4/);
    collection.commit();
    assert.equal(collection.size, 0);
  });

  it('is written by one process at a time; a lock of a process that is gone does not count', async () => {
    const folder = newFolder();
    {
      using first = await Collection.open(folder, { width });
      assert.equal(first.size, 0);
      await assert.rejects(Collection.open(folder, { width }), /Another process .* is writing/);
    }
    // Process ids end at 2^22.
    writeFileSync(join(folder, 'lock'), `${2 ** 22 + 1} ${hostname()}`);
    using again = await Collection.open(folder, { width });
    assert.equal(again.size, 0);
  });

  it('says in one sentence that a folder holds none, or a damaged one', async () => {
    const folder = newFolder();
    await assert.rejects(openIndex(join(directory, 'nowhere')), { name: 'BantamError' });
    {
      using collection = await Collection.open(folder, { width });
      add(collection, 0, 20);
      collection.commit();
    }
    await assert.rejects(
      Collection.open(folder, { width: 5 }),
      /have 4 dimensions and the new ones 5/,
    );
    truncateSync(join(folder, 'records-1.jsonl'), 100);
    await assert.rejects(openIndex(folder), /records-1\.jsonl is damaged/);
    writeFileSync(join(folder, 'index.json'), '{"formatVersion": 9}');
    await assert.rejects(openIndex(folder), /index\.json/);
  });
});
