import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { captionsOf, DataFolder } from '../../test-support/data-files.js';
import { formatSpec, resolveSpec } from './describe.js';
import { parseSpec } from './spec.js';

let folder: DataFolder;

before(async () => {
  folder = await DataFolder.create();
});

after(() => folder.remove());

describe('A source described as an object', () => {
  it('is written as the specification that opens it again', () => {
    assert.equal(formatSpec({ type: 'folder', path: 'photos' }), 'folder:photos');
    assert.equal(
      formatSpec({
        ...{ type: 'jsonl', path: 'pairs.jsonl', image: 'file', caption: ['a', 'b.c'] },
        ...{ captions: ['x.jsonl', 'y&z.jsonl'], synthetic: 0.25 },
      }),
      'jsonl:pairs.jsonl?image=file&caption=a,b.c&captions=x.jsonl&captions=y%26z.jsonl&synthetic=0.25',
    );
    const spec = formatSpec({ type: 'csv', path: 'a.csv', sep: '&', label: '100%?' });
    const { query } = parseSpec(spec);
    assert.deepEqual(
      [...query],
      [
        ['sep', '&'],
        ['label', '100%?'],
      ],
    );
    assert.equal(formatSpec({ type: 'emoji', split: 'train' }), 'emoji?split=train');
  });

  it('opens as its specification does', async () => {
    const path = await folder.write({ 'pairs.csv': 'file,words\na.png,one\n' });
    const source = await folder.open({ type: 'csv', path, image: 'file', caption: 'words' });
    assert.equal(source.spec, `csv:${path}?image=file&caption=words`);
    assert.deepEqual(captionsOf(source), [['one']]);
  });
});

describe('The path of a specification', () => {
  it('may hold spaces, percent and hash signs, and question marks', async () => {
    for (const name of [
      'a b.csv',
      '100%.csv',
      'a#1.csv',
      'what?.csv',
      'q?x=1&y.csv',
      'a%20b.csv',
    ]) {
      const path = await folder.write({ [`odd/${name}`]: 'image,title\na.png,one\n' });
      const plain = await folder.open(`csv:${path}`);
      assert.deepEqual(captionsOf(plain), [['one']], name);
      const asked = await folder.open(`csv:${path}?caption=title`);
      assert.deepEqual(captionsOf(asked), [['one']], name);
    }
  });

  it('may be of a folder with such a name', async () => {
    await folder.images('odd/why? #1/a.png');
    const source = await folder.open(`images:${join(folder.path, 'odd/why? #1')}?caption=name`);
    assert.deepEqual(captionsOf(source), [['a']]);
  });

  it('may start with a drive, and values may hold lone percent signs', () => {
    assert.equal(parseSpec('csv:C:\\data\\a.csv?sep=%7C').path, 'C:\\data\\a.csv');
    assert.equal(parseSpec('csv:a.csv?caption=50% off').query.get('caption'), '50% off');
    assert.equal(parseSpec('csv:a.csv?caption=%C3%A4').query.get('caption'), 'ä');
    assert.equal(parseSpec('csv:a.csv?caption=%ff').query.get('caption'), '%ff');
  });

  it('is suggested with its kind if that is missing', async () => {
    assert.match(await folder.refusal('pairs.csv'), /write csv:pairs.csv/);
    assert.match(await folder.refusal('x/y.parquet'), /write parquet:x\/y.parquet/);
    assert.match(await folder.refusal(folder.path), /write csv:.*pairs.csv, or images:\//);
    await folder.images('only/images/a.png');
    assert.match(
      await folder.refusal(join(folder.path, 'only')),
      /write images:.*only, or folder:/,
    );
    assert.match(
      await folder.refusal(`csv:${folder.path}`),
      /is a folder, with pairs.csv; name a file in it after "csv:"/,
    );
    assert.match(await folder.refusal('cvs:a.csv'), /no data "cvs" \(did you mean "csv"\?\)/);
  });
});

describe('A specification from another folder', () => {
  it('has its paths resolved, those of options as well', () => {
    assert.equal(
      resolveSpec('csv:a.csv?caption=x&captions=c.jsonl&images=pics&synthetic=0.5', '/data'),
      'csv:/data/a.csv?caption=x&images=/data/pics&captions=/data/c.jsonl&synthetic=0.5',
    );
    assert.equal(resolveSpec('wds:/abs/{0..9}.tar', '/data'), 'wds:/abs/{0..9}.tar');
    assert.equal(resolveSpec('wds:{a,b}/1.tar', '/data'), 'wds:/data/{a,b}/1.tar');
    assert.equal(resolveSpec('wds:{/abs/a,b}/1.tar', '/data'), 'wds:{/abs/a,/data/b}/1.tar');
    assert.equal(resolveSpec('emoji?split=train', '/data'), 'emoji?split=train');
    assert.equal(
      resolveSpec('mix:{"sources":[{"data":"csv:a.csv","weight":2}]}', '/data'),
      'mix:{"sources":[{"data":"csv:/data/a.csv","weight":2}]}',
    );
  });
});
