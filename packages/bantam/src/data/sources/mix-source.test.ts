import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { captionsOf, DataFolder, notesOf, recordsOf } from '../../test-support/data-files.js';
import { epochOrder, samplesPerEpoch } from '../loader/order.js';
import { Loader } from '../loader/loader.js';
import type { Source } from './source.js';

let folder: DataFolder;

const table = (prefix: string, rows: number): string =>
  `image,caption,kind\n${Array.from({ length: rows }, (_, i) => `${prefix}${i}.png,${prefix} ${i},${i % 2 === 0 ? 'even' : prefix}`).join('\n')}\n`;

before(async () => {
  folder = await DataFolder.create();
  await folder.write({
    'a.csv': table('a', 30),
    'deep/b.csv': table('b', 10),
    'mix.json': JSON.stringify({
      sources: [
        { data: 'csv:a.csv?label=kind', weight: 1, name: 'a' },
        { data: { type: 'csv', path: 'deep/b.csv', label: 'kind' }, weight: 3, name: 'b' },
      ],
    }),
  });
});

after(() => folder.remove());

/** How often each record comes within some epochs. */
function visits(source: Source, epochs: number): number[] {
  const counts = new Array<number>(source.size).fill(0);
  for (let epoch = 0; epoch < epochs; epoch++) {
    for (const record of epochOrder(source, 5, epoch)) counts[record] = (counts[record] ?? 0) + 1;
  }
  return counts;
}

describe('A mix', () => {
  it('has the records of its sources, from paths relative to its file', async () => {
    const source = await folder.open(`mix:${join(folder.path, 'mix.json')}`);
    assert.equal(source.size, 40);
    const records = recordsOf(source);
    assert.deepEqual(records[29]?.key, 'a/a29.png');
    assert.deepEqual(records[30], {
      ...{ key: 'b/b0.png', captions: ['b 0'], label: 'even', meta: {} },
    });
    assert.deepEqual(source.location(31), { path: join(folder.path, 'deep/b1.png') });
    const { classes = [], labels = [] } = source.labelSets.label ?? {};
    assert.deepEqual(classes, ['a', 'even', 'b']);
    assert.equal(classes[labels[31] ?? -1], 'b');
  });

  it('takes of each source what its weight says, each sample once before any comes again', async () => {
    const source = await folder.open(`mix:${join(folder.path, 'mix.json')}`);
    assert.equal(samplesPerEpoch(source), 40);
    const one = visits(source, 1);
    assert.equal(
      one.slice(0, 30).reduce((a, b) => a + b),
      10,
    );
    assert.deepEqual(one.slice(30), new Array(10).fill(3));
    // Three epochs take ten of thirty each: all thirty once.
    assert.deepEqual(visits(source, 3).slice(0, 30), new Array(30).fill(1));
    assert.deepEqual(epochOrder(source, 5, 2), epochOrder(source, 5, 2));
    assert.notDeepEqual(epochOrder(source, 5, 2), epochOrder(source, 6, 2));
    assert.deepEqual(notesOf(source).slice(0, 2), [
      `"a" (csv:${join(folder.path, 'a.csv')}?label=kind) has 30 records; an epoch takes 10 samples of it, 25.0 % of 40, 0.33 passes.`,
      `"b" (csv:${join(folder.path, 'deep/b.csv')}?label=kind) has 10 records; an epoch takes 30 samples of it, 75.0 % of 40, 3.00 passes.`,
    ]);
  });

  it('visits every sample once without weights, and mixes of mixes', async () => {
    const a = `csv:${join(folder.path, 'a.csv')}`;
    const b = { type: 'csv', path: join(folder.path, 'deep/b.csv') } as const;
    const flat = await folder.open({ type: 'mix', sources: [{ data: a }, { data: b }] });
    assert.deepEqual(visits(flat, 1), new Array(40).fill(1));
    const inner = {
      type: 'mix',
      sources: [
        { data: a, weight: 1 },
        { data: b, weight: 1 },
      ],
    } as const;
    const nested = await folder.open({
      type: 'mix',
      sources: [
        { data: inner, weight: 1 },
        { data: b, weight: 1 },
      ],
    });
    assert.equal(nested.size, 50);
    const counts = visits(nested, 4);
    const sum = (from: number, to: number): number =>
      counts.slice(from, to).reduce((x, y) => x + y);
    assert.deepEqual([sum(0, 30), sum(30, 40), sum(40, 50)], [50, 50, 100]);
    assert.equal((await folder.open(nested.spec)).size, 50);
  });

  it('resumes anywhere with the same samples', async () => {
    const source = await folder.open(`mix:${join(folder.path, 'mix.json')}`);
    const loader = new Loader(source, { batchSize: 8, views: {}, size: 8, seed: 3, workers: 0 });
    const keys: string[][] = [];
    const starts: { epoch: number; position: number }[] = [];
    for await (const { keys: batch, next } of loader.batches()) {
      keys.push([...batch]);
      starts.push(next);
      if (keys.length === 12) break;
    }
    const resumed = loader.batches(starts[6]);
    for (const wanted of keys.slice(7)) {
      assert.deepEqual((await resumed.next()).value.keys, wanted);
    }
    await loader.close();
  });

  it('reports its sources by name', async () => {
    const bad = await folder.write({ 'bad.csv': 'image,caption\nx.png,\ny.png,fine\n' });
    const source = await folder.open({
      type: 'mix',
      sources: [{ data: `csv:${bad}`, name: 'bad' }],
    });
    assert.deepEqual(captionsOf(source), [['fine']]);
    assert.ok(
      notesOf(source).includes('"bad": 1 row without a caption is left out (line 2).'),
      notesOf(source).join('\n'),
    );
  });

  it('refuses what it cannot mix', async () => {
    const refused = async (content: string): Promise<string> =>
      folder.refusal(`mix:${await folder.write({ 'refused.json': content })}`);
    assert.match(await refused('{"sources": ['), /is not JSON/);
    assert.match(await refused('{"source": []}'), /has no list of sources/);
    assert.match(await refused('[{"weight": 1}]'), /Source 1 of the mix .* has no "data"/);
    assert.match(
      await refused('[{"data": "csv:a.csv", "weight": 0}]'),
      /weight 0; give a number above 0/,
    );
    assert.match(
      await refused('[{"data": "csv:a.csv", "wieght": 1}]'),
      /has "wieght"; it can have/,
    );
    assert.match(
      await refused('[{"data": "csv:a.csv", "weight": 1}, "csv:deep/b.csv"]'),
      /has no weight, but others have/,
    );
    assert.match(
      await refused('[{"data": "csv:a.csv", "name": "x"}, {"data": "csv:a.csv", "name": "x"}]'),
      /Two sources of .* are called "x"/,
    );
    assert.match(
      await folder.refusal('mix:/nowhere.json'),
      /cannot be read \(no such file or folder\)/,
    );
  });

  it('is not trained on if a source has no captions', async () => {
    const bare = { type: 'csv', path: join(folder.path, 'a.csv'), caption: 'none' } as const;
    const captioned = `csv:${join(folder.path, 'a.csv')}`;
    const source = await folder.open({
      type: 'mix',
      sources: [
        { data: captioned, name: 'some' },
        { data: bare, name: 'none' },
      ],
    });
    assert.throws(
      () => new Loader(source, { batchSize: 8, views: {}, size: 8, seed: 3, workers: 0 }),
      /has no captions to train on for one of its sources, that of "none\/a0\.png"; put them/,
    );
  });
});
