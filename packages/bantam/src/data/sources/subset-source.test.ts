import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { epochOrder, samplesPerEpoch } from '../loader/order.js';
import { formatSpec, resolveSpec, withSubset } from './describe.js';
import { openSource } from './open-source.js';
import { parseSpec } from './spec.js';
import type { Source } from './source.js';

let folder: string;
const at = (path: string): string => join(folder, path);
const keys = (source: Source): string[] =>
  Array.from({ length: source.size }, (_, i) => source.record(i).key);

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'bantam-subset-'));
  await mkdir(at('odd? & names'));
  for (const name of ['a', 'b']) {
    const rows = Array.from({ length: 10 }, (_, i) => `${i}.png,caption ${i}`);
    await writeFile(at(`${name}.csv`), `image,caption\n${rows.join('\n')}\n`);
  }
  await writeFile(at('odd? & names/50%.txt'), '1.png\n2.png\n');
});
after(() => rm(folder, { recursive: true }));

describe('withSubset', () => {
  it('gives a specification of the subset, whatever is in the names', async () => {
    const file = at('odd? & names/50%.txt');
    for (const spec of [`csv:${at('a.csv')}`, `csv:${at('a.csv')}?caption=caption`]) {
      const limited = await openSource(withSubset(spec, file));
      assert.deepEqual(keys(limited), ['1.png', '2.png']);
    }
    const described = { type: 'csv', path: at('a.csv'), subset: [file, file] } as const;
    assert.deepEqual(parseSpec(formatSpec(described)).subsets, [file, file]);
    assert.equal((await openSource(described)).size, 2);
  });

  it('resolves the file from the folder of a configuration', () => {
    assert.equal(resolveSpec('csv:a.csv?subset=s.txt', '/data'), 'csv:/data/a.csv?subset=/data/s.txt'); // prettier-ignore
  });
});

describe('a subset of a mix', () => {
  const mix = (weights?: readonly [number, number]): string =>
    formatSpec({
      type: 'mix',
      sources: ['a', 'b'].map((name, i) => ({
        data: `csv:${at(`${name}.csv`)}`,
        name,
        ...(weights && { weight: weights[i] ?? NaN }),
      })),
    });
  const chosen = ['a/0.png', 'a/7.png', 'b/1.png', 'b/2.png', 'b/3.png', 'b/9.png'];
  before(() => writeFile(at('mixed.txt'), `${chosen.join('\n')}\n`));

  it('visits each chosen record once where the mix visits each once', async () => {
    const limited = await openSource(withSubset(mix(), at('mixed.txt')));
    assert.deepEqual(keys(limited), chosen);
    assert.equal(samplesPerEpoch(limited), 6);
    assert.deepEqual([...epochOrder(limited, 1, 0)].sort(), [0, 1, 2, 3, 4, 5]);
  });

  it('keeps the proportions of a mix with weights', async () => {
    const limited = await openSource(withSubset(mix([1, 2]), at('mixed.txt')));
    const shares = limited.mixture?.map(({ start, size, samples }) => [start, size, samples]);
    // The mix takes 7 and 13 samples of 20.
    assert.deepEqual(shares, [
      [0, 2, 2],
      [2, 4, 4],
    ]);
    const heavy = await openSource(withSubset(mix([4, 1]), at('mixed.txt')));
    assert.deepEqual(heavy.mixture?.map(({ samples }) => samples), [5, 1]); // prettier-ignore
    const visits = [0, 1, 2, 3].flatMap((epoch) => [...epochOrder(heavy, 1, epoch)]);
    assert.equal(visits.filter((index) => index < 2).length, 20);
  });

  it('takes a mix whose sources are texts', async () => {
    const texts = `mix:${JSON.stringify({ sources: [`csv:${at('a.csv')}`, `csv:${at('b.csv')}`] })}`;
    await writeFile(at('texts.txt'), '1/3.png\n2/4.png\n');
    const limited = await openSource(withSubset(texts, at('texts.txt')));
    assert.deepEqual(keys(limited), ['1/3.png', '2/4.png']);
    const relative = 'mix:{"sources":["csv:a.csv"],"subset":"s.txt"}';
    assert.equal(
      resolveSpec(relative, '/d'),
      'mix:{"sources":[{"data":"csv:/d/a.csv"}],"subset":["/d/s.txt"]}',
    );
  });

  it('leaves out a source without chosen records', async () => {
    await writeFile(at('only-b.txt'), 'b/4.png\nb/5.png\n');
    const limited = await openSource(withSubset(mix(), at('only-b.txt')));
    assert.equal(limited.mixture?.length, 1);
    assert.deepEqual([...epochOrder(limited, 3, 1)].sort(), [0, 1]);
  });
});
