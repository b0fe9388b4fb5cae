import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fromTypedArray } from '@bantam/torch';
import { bruteForce, clusteredVectors, rowOf } from '../test-support/vectors.js';
import { finishIndex } from './build-index.js';
import { Collection } from './collection.js';
import { openIndex, SearchIndex } from './search-index.js';
import type { QueryVector } from './query.js';
import { recordStore } from './store.js';
import { parseCondition } from './where.js';

const directory = mkdtempSync(join(tmpdir(), 'bantam-index-'));
after(() => {
  rmSync(directory, { recursive: true });
});

const width = 16;
const rows = 3000;
const values = clusteredVectors(rows + 300, width);
const queries = clusteredVectors(40, width, 9);
const queryOf = (row: number): QueryVector[] => [
  { kind: 'image', vector: rowOf(queries, row, width) },
];

function add(collection: Collection, from: number, to: number): void {
  for (let row = from; row < to; row++) {
    const record = { key: `k${row}`, caption: `c${row}`, meta: { tenth: String(row % 10) } };
    // The caption of a row looks like its image.
    const vector = rowOf(values, row, width);
    collection.add({ record, image: vector, caption: vector });
  }
}

/** Fraction of the rows with the ten highest cosines that the index finds. */
async function recall(index: SearchIndex, passes: (row: number) => boolean, where: string[] = []) {
  const conditions = where.map(parseCondition);
  const found = await index.search({
    queries: Array.from({ length: 40 }, (_, query) => queryOf(query)),
    k: 10,
    where: conditions,
  });
  let hits = 0;
  for (const [query, list] of found.entries()) {
    assert.equal(list.length, 10);
    const truth = bruteForce(values, rowOf(queries, query, width), 10, passes);
    const rowsFound = new Map(list.map(({ key, score }) => [Number(key.slice(1)), score]));
    for (const { row, score } of truth) {
      const own = rowsFound.get(row);
      if (own === undefined) continue;
      hits++;
      assert.ok(Math.abs(own - score) < 1e-5, 'scores are exact');
    }
    assert.ok(list.every(({ key }) => passes(Number(key.slice(1)))));
  }
  return hits / 400;
}

describe('an image of the index as example', () => {
  it('is found by its key, whether accents are composed or decomposed', () => {
    const [composed, decomposed] = ['caf\u00e9.png', 'cafe\u0301.png'];
    const of = (...keys: string[]): SearchIndex => {
      const values = Float32Array.from({ length: 2 * keys.length }, (_, i) => Number(i % 3 === 0));
      const images = fromTypedArray(values, { shape: [keys.length, 2] });
      const records = keys.map((key) => ({ key }));
      return new SearchIndex(recordStore(records, images, { model: {} }));
    };
    for (const key of [composed, decomposed]) {
      assert.deepEqual([...of('other.png', decomposed).vectorOf(key)], [0, 1]);
      assert.deepEqual([...of('other.png', composed).vectorOf(key)], [0, 1]);
    }
    const both = of(composed, decomposed);
    assert.deepEqual([...both.vectorOf(composed)], [1, 0]);
    assert.deepEqual([...both.vectorOf(decomposed)], [0, 1]);
    assert.throws(() => both.vectorOf('cafe.png'), {
      name: 'BantamError',
      message: `The index has no image "cafe.png"; name one by its key, such as "${composed}".`,
    });
  });
});

describe('a search through a graph', () => {
  const folder = join(directory, 'graph');
  before(async () => {
    using collection = await Collection.open(folder, { width });
    add(collection, 0, rows);
    collection.commit();
    await finishIndex(collection, { kind: 'graph', recall: 0.98 });
  });

  it('finds nearly all that plain loops find, with exact scores, and as much as was measured', async () => {
    using index = await openIndex(folder);
    assert.ok(index.isApproximate);
    assert.ok((await recall(index, (row) => row < rows)) >= 0.97);
    using collection = await Collection.open(folder, { width });
    const { graph } = collection.manifest;
    assert.equal(graph?.rows, rows);
    const used = graph.recall.find(({ candidates }) => candidates === graph.candidates);
    assert.ok(Number(used?.image) >= 0.98 && Number(used?.text) >= 0.98);
  });

  it('finds with conditions only what meets them, many or few', async () => {
    using index = await openIndex(folder);
    const most = (row: number) => row < rows && row % 10 !== 3;
    assert.ok((await recall(index, most, ['tenth!=3'])) >= 0.97);
    // So few that all of them are compared.
    const few = (row: number) => row < rows && row % 10 === 3;
    assert.equal(await recall(index, few, ['tenth=3']), 1);
  });

  it('finds rows that were added after the graph, and none that were removed', async () => {
    {
      using collection = await Collection.open(folder, { width });
      add(collection, rows, rows + 300);
      for (let row = 0; row < 1000; row++) collection.remove(row);
      collection.commit();
    }
    const passes = (row: number) => row >= 1000;
    {
      using index = await openIndex(folder);
      assert.equal(index.size, rows - 700);
      assert.ok((await recall(index, passes)) >= 0.97);
    }
    using collection = await Collection.open(folder, { width });
    const { graph } = await finishIndex(collection, {});
    assert.equal(graph?.rows, rows + 300);
    using index = await openIndex(folder);
    assert.ok((await recall(index, passes)) >= 0.97);
  });

  it('is as good after a compaction, which removes a third of the rows', async () => {
    using collection = await Collection.open(folder, { width });
    for (let row = 1000; row < 1200; row++) collection.remove(Number(collection.find(`k${row}`)));
    collection.commit();
    const { compacted, size } = await finishIndex(collection, { recall: 0.98 });
    assert.deepEqual([compacted, size], [true, rows - 900]);
    using index = await openIndex(folder);
    assert.ok((await recall(index, (row) => row >= 1200)) >= 0.97);
  });
});

describe('an exact index', () => {
  const folder = join(directory, 'exact');
  let index: SearchIndex;
  before(async () => {
    using collection = await Collection.open(folder, { width });
    add(collection, 0, rows);
    collection.commit({ model: { hash: 'abc' } });
    index = await openIndex(folder);
  });
  after(() => {
    index.dispose();
  });

  it('finds what plain loops find', async () => {
    assert.equal(index.isApproximate, false);
    assert.equal(await recall(index, (row) => row < rows), 1);
    assert.equal(await recall(index, (row) => row % 10 === 3 && row < rows, ['tenth=3']), 1);
  });

  it('refuses queries of another model, of another width, or not finite', async () => {
    const search = (vector: Float32Array, model?: string) =>
      index.search({
        queries: [[{ kind: 'text', vector }]],
        ...(model !== undefined && { model }),
      });
    await assert.rejects(search(rowOf(queries, 0, width), 'def'), /another model \(abc\)/);
    await assert.rejects(search(new Float32Array(8).fill(1)), /8 dimensions, and the index has 16/);
    const bad = rowOf(queries, 0, width).slice();
    bad[3] = NaN;
    await assert.rejects(search(bad), /not finite/);
    assert.equal((await search(rowOf(queries, 0, width), 'abc'))[0]?.length, 8);
  });

  it('ranks what a query shall not be like lower, and standardises parts before it adds them', async () => {
    // Two directions: rows have both in different amounts.
    const x = new Float32Array(width);
    const y = new Float32Array(width);
    x[0] = 1;
    y[1] = 1;
    const deviation = (axis: number): number => {
      const column = Array.from({ length: rows }, (_, row) => Number(values[row * width + axis]));
      const mean = column.reduce((sum, value) => sum + value, 0) / rows;
      return Math.sqrt(column.reduce((sum, value) => sum + (value - mean) ** 2, 0) / rows);
    };
    const parts = (weight: number): QueryVector[] => [
      { kind: 'text', vector: x },
      { kind: 'image', vector: y, weight },
    ];
    for (const weight of [1, -0.5]) {
      const [hits = []] = await index.search({ queries: [parts(weight)], k: 20 });
      const direction = new Float32Array(width);
      direction[0] = 1 / deviation(0);
      direction[1] = weight / deviation(1);
      const length = Math.hypot(...direction);
      const wanted = bruteForce(
        values.subarray(0, rows * width),
        direction.map((value) => value / length),
        20,
      );
      // The deviations are those of a sample of two thirds.
      const found = new Set(hits.map(({ row }) => row));
      assert.ok(wanted.filter(({ row }) => found.has(row)).length >= 19);
    }
    await assert.rejects(
      index.search({ queries: [parts(1).map((part) => ({ ...part, weight: -1 }))] }),
      /positive weight/,
    );
  });

  it('cuts off at the score that unrelated images pass at the given rate', async () => {
    const query = queryOf(0);
    for (const rate of [0.1, 0.01]) {
      const cutoff = index.cutoff([{ kind: 'text', vector: rowOf(queries, 0, width) }], rate);
      let passed = 0;
      let pairs = 0;
      for (let a = 0; a < 300; a++) {
        for (let b = 2000; b < 2300; b++) {
          let score = 0;
          for (let i = 0; i < width; i++) {
            score += Number(values[a * width + i]) * Number(values[b * width + i]);
          }
          pairs++;
          if (score >= cutoff) passed++;
        }
      }
      assert.ok(Math.abs(passed / pairs / rate - 1) < 0.25, `${passed / pairs} pass at ${rate}`);
    }
    const [hits = []] = await index.search({ queries: [query], k: rows, falsePositiveRate: 0.01 });
    const cutoff = index.cutoff(query, 0.01);
    const wanted = bruteForce(values.subarray(0, rows * width), rowOf(queries, 0, width), rows);
    assert.equal(hits.length, wanted.filter(({ score }) => score >= cutoff).length);
    assert.throws(() => index.cutoff(query, 0), /above 0 and below 1/);
    assert.throws(() => index.cutoff(query, 1e-9), /cannot be told/);
    const [part] = query;
    assert.ok(part);
    const almost = { ...part, vector: part.vector.map((x) => x * (1 + 1e-6)), weight: -1 };
    await assert.rejects(index.search({ queries: [[part, almost]], k: 1 }), /cancel each other/);
  });

  it('finds near-duplicates as plain loops do, and in groups', async () => {
    const twin = join(directory, 'twins');
    {
      using collection = await Collection.open(twin, { width });
      for (let row = 0; row < 1500; row++) {
        // Every row of the last 100 is another one, or nearly.
        const vector = rowOf(values, row < 1400 ? row : row - 1400, width).slice();
        if (row % 2 === 1) vector[0] = Number(vector[0]) + 0.01;
        collection.add({ record: { key: String(row) }, image: vector });
      }
      collection.commit();
    }
    using twins = await openIndex(twin);
    const { pairs, groups, compared, isApproximate } = await twins.duplicates({ above: 0.999 });
    assert.deepEqual([compared, isApproximate], [1, false]);
    const found = new Set(pairs.map(({ rows: [a, b] }) => `${a} ${b}`));
    for (let row = 1400; row < 1500; row++) assert.ok(found.has(`${row - 1400} ${row}`));
    assert.ok(groups.every((group) => group.length >= 2));
    assert.ok(pairs.every(({ score }) => score >= 0.999 - 1e-6));
    const { compared: part } = await twins.duplicates({ above: 0.999, seconds: 1e-9 });
    assert.ok(part > 0 && part < 1);
  });
});
