import assert from 'node:assert/strict';
import { appendFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { loadForInference, openIndex, search } from 'bantam/experimental';
import { saveTinyModel } from '../dist/test-support/saved-model.js';
import { bantamJson, expectFailure, start } from './bantam.js';
import { dataUri, plainPng, post } from './serve-client.js';
import { temporaryFolder } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1' };
const colours = ['#d22', '#2b2', '#22d', '#dc2', '#111', '#eee'];

before(async () => {
  await saveTinyModel(join(cwd, 'model'));
  await saveTinyModel(join(cwd, 'other'), 9);
  await mkdir(join(cwd, 'images'));
  const rows = ['image,caption,price'];
  for (const [i, colour] of colours.entries()) {
    await writeFile(join(cwd, 'images', `${i}.png`), await plainPng(colour));
    rows.push(`images/${i}.png,article ${i},${10 * i}`);
  }
  await writeFile(join(cwd, 'products.csv'), `${rows.join('\n')}\n`);
  const args = ['index', 'shop', '--model', 'model', '--data', 'csv:products.csv'];
  await bantamJson(args, { cwd, env });
});
after(() => rm(cwd, { recursive: true }));

interface Hits {
  readonly data: readonly { key: string; score: number; caption?: string; meta?: object }[];
  readonly index: string;
}

describe('bantam serve --index', () => {
  it('finds what the library finds, by texts, images, keys and conditions', async () => {
    const args = ['serve', 'model', 'other', '--index', 'shop', '--port', '0'];
    const server = start(args, { cwd, env });
    let stderr = '';
    server.process.stderr?.on('data', (text: string) => (stderr += text));
    await server.printed(/Listening at/);
    const [url = assert.fail()] = /http:\/\/\S+\d/.exec(stderr) ?? [];
    const find = async (query: unknown, more: object = {}): Promise<Hits> => {
      const { status, body } = await post(`${url}/v1/search`, { query, ...more });
      assert.equal(status, 200, JSON.stringify(body));
      return body as Hits;
    };
    const model = await loadForInference(join(cwd, 'model'));
    const index = await openIndex(join(cwd, 'shop'));
    const png = await plainPng('#c33', 30, 30);
    const image = { image: dataUri(png), weight: 0.5 };
    const same = async (found: Hits, wanted: Parameters<typeof search>[2], k = 10) => {
      const hits = await search(model, index, wanted, { k });
      assert.deepEqual(found.data.map(({ key }) => key), hits.map(({ key }) => key)); // prettier-ignore
      for (const [i, { score }] of found.data.entries()) {
        assert.ok(Math.abs(score - (hits[i]?.score ?? Number.NaN)) < 1e-5);
      }
    };
    const all = await find('a red square');
    await same(all, 'a red square');
    assert.equal(all.index, 'shop');
    assert.equal(all.data.length, colours.length);
    const [first] = all.data;
    assert.match(String(first?.caption), /^article \d$/);
    assert.deepEqual(first?.meta, { price: String(10 * Number(first?.caption?.at(-1))) });
    await same(await find('a red square', { top_k: 2 }), 'a red square', 2);
    await same(await find(image), [{ image: png }]);
    const parts = [{ text: 'a red square' }, { text: 'a green circle', weight: -0.5 }];
    await same(await find([...parts, image]), [...parts, { image: png, weight: 0.5 }]);
    const [own] = (await find({ key: first.key })).data;
    assert.equal(own?.key, first.key);
    const cheap = await find('a red square', { where: ['price<25', 'caption!=article 0'] });
    assert.deepEqual(cheap.data.map(({ caption }) => caption).sort(), ['article 1', 'article 2']);
    assert.deepEqual((await find('a red square', { min_score: 1.5 })).data, []);

    const refused: readonly (readonly [object, number, RegExp])[] = [
      [{}, 400, /lacks "query"/],
      [{ query: '' }, 400, /Item 0 of "query" is an empty text/],
      [{ query: [] }, 400, /"query" of the request is \[\]/],
      [{ query: { text: 'a', weight: -1 } }, 400, /no part of positive weight/],
      [{ query: { key: 'nothing' } }, 400, /The index has no image "nothing"/],
      [{ query: { key: '../../etc/passwd' } }, 400, /The index has no image/],
      [{ query: { image: '/etc/passwd' } }, 400, /Item 0 of "query": The image is no data URI/],
      [{ query: 'a', index: 'other' }, 404, /There is no index "other"; there is shop\./],
      [{ query: 'a', index: '__proto__' }, 404, /There is no index "__proto__"/],
      [{ query: 'a', top_k: 1000 }, 400, /ask for at most 200/],
      [{ query: 'a', where: ['price'] }, 400, /The condition "price" cannot be read/],
      [{ query: 'a', where: ['prize<5'] }, 400, /prize/],
      [{ query: 'a', where: ['price<x'] }, 400, /compares numbers/],
      [{ query: 'a', false_positive_rate: 2 }, 400, /a number from 0 to 1/],
    ];
    for (const [body, status, message] of refused) {
      const found = await post(`${url}/v1/search`, body);
      const { error } = found.body as { error: { message: string } };
      assert.equal(found.status, status, error.message);
      assert.match(error.message, message);
    }

    await writeFile(join(cwd, 'images', 'new.png'), await plainPng('#7a7'));
    await appendFile(join(cwd, 'products.csv'), 'images/new.png,a new article,5\n');
    await bantamJson(['index', 'shop'], { cwd, env });
    assert.equal((await find('a red square')).data.length, colours.length);
    server.process.kill('SIGHUP');
    await server.printed(/Reloaded: \S+, other/);
    assert.equal((await find('a red square')).data.length, colours.length + 1);
    server.process.kill('SIGTERM');
    assert.equal((await server.ended).status, 0);
  });

  it('refuses an index that none of its models made', async () => {
    await expectFailure(['serve', 'other', '--index', 'shop', '--port', '0'], {
      status: 1,
      message: /None of the models made the index shop; serve the model that did/,
      cwd,
      env,
    });
  });
});
