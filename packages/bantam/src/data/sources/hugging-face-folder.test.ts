import assert from 'node:assert/strict';
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { captionsOf, DataFolder } from '../../test-support/data-files.js';

const fixtures = fileURLToPath(new URL('../../../fixtures/data/parquet', import.meta.url));
let folder: DataFolder;

before(async () => {
  folder = await DataFolder.create();
});

after(() => folder.remove());

describe('An hf folder', () => {
  it('reads metadata beside the images, as CSV and as JSON lines', async () => {
    await folder.write({
      'csv/metadata.csv': 'file_name,text\n0001.png,one\nsub/0002.png,two\n',
      'json/metadata.jsonl': '{"file_name": "0001.png", "text": "one"}\n',
    });
    const csv = await folder.open(`hf:${join(folder.path, 'csv')}`);
    assert.deepEqual(captionsOf(csv), [['one'], ['two']]);
    assert.deepEqual(csv.location(1), { path: join(folder.path, 'csv/sub/0002.png') });
    assert.deepEqual(captionsOf(await folder.open(`hf:${join(folder.path, 'json')}`)), [['one']]);
  });

  it('chooses among the splits of folders, and joins several files of one', async () => {
    await folder.write({
      'splits/train/metadata.csv': 'file_name,text\na.png,one\n',
      'splits/test/metadata.csv': 'file_name,text\nb.png,two\n',
      'parts/train/a/metadata.csv': 'file_name,text\na.png,one\n',
      'parts/train/b/metadata.csv': 'file_name,text\na.png,two\n',
    });
    const root = join(folder.path, 'splits');
    assert.match(
      await folder.refusal(`hf:${root}`),
      /has the splits test, train; choose one with \?split=train/,
    );
    assert.deepEqual(captionsOf(await folder.open(`hf:${root}?split=test`)), [['two']]);
    assert.match(
      await folder.refusal(`hf:${root}?split=dev`),
      /no split "dev"; it has test, train/,
    );
    const parts = await folder.open(`hf:${join(folder.path, 'parts')}?split=train`);
    assert.deepEqual(
      [0, 1].map((i) => [parts.record(i).key, parts.record(i).captions]),
      [
        ['train/a/a.png', ['one']],
        ['train/b/a.png', ['two']],
      ],
    );
  });

  it('reads Parquet files with images and class names by split', async () => {
    const data = join(folder.path, 'hub', 'data');
    await mkdir(data, { recursive: true });
    for (const name of ['train-00000-of-00002', 'train-00001-of-00002', 'test-00000-of-00001']) {
      await copyFile(join(fixtures, 'hub.parquet'), join(data, `${name}.parquet`));
    }
    const source = await folder.open({
      type: 'hf',
      path: join(folder.path, 'hub'),
      split: 'train',
    });
    assert.equal(source.size, 44);
    assert.deepEqual(source.labelSets.label?.classes, ['cat', 'dog', 'große Maus']);
    assert.equal((await source.image(0)).length > 60, true);
  });

  it('reads class folders of a split, and refuses what it cannot read', async () => {
    await folder.images(
      'classes/train/cat/1.png',
      'classes/test/dog/2.png',
      'classes/train/dog/3.png',
    );
    await folder.write({ 'saved/train/data-00000-of-00001.arrow': 'ARROW1' });
    const root = join(folder.path, 'classes');
    const source = await folder.open(`hf:${root}?split=train`);
    assert.deepEqual(source.labelSets.label?.classes, ['cat', 'dog']);
    assert.match(await folder.refusal(`hf:${root}`), /has the splits test, train/);
    assert.match(
      await folder.refusal(`hf:${join(folder.path, 'saved')}`),
      /written by save_to_disk/,
    );
    assert.match(
      await folder.refusal('hf:nlphuji/flickr30k'),
      /names a folder on this computer: get it with "hf download nlphuji\/flickr30k --repo-type dataset/,
    );
  });
});
