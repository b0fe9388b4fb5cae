import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { DataFolder, notesOf, recordsOf } from '../../test-support/data-files.js';

let folder: DataFolder;

before(async () => {
  folder = await DataFolder.create();
  await folder.images('val/1.png', 'val/2.png', 'val/3.png', 'root/val2014/7.png');
});

after(() => folder.remove());

const coco = {
  images: [
    { id: 1, file_name: '1.png' },
    { id: 2, file_name: '2.png' },
    { id: 3, file_name: '3.png' },
  ],
  annotations: [
    { id: 10, image_id: 2, caption: 'a dog \n' },
    { id: 11, image_id: 1, caption: 'a cat' },
    { id: 12, image_id: 2, caption: 'the dog' },
    { id: 13, image_id: 9, caption: 'nowhere' },
    { id: 14, image_id: 1, caption: '' },
  ],
};

const karpathy = {
  dataset: 'coco',
  images: [
    {
      ...{ filepath: 'val2014', filename: '7.png', split: 'test', cocoid: 7 },
      sentences: [{ raw: 'one' }, { raw: 'two', tokens: ['two'] }],
    },
    {
      ...{ filepath: 'train2014', filename: '8.png', split: 'restval', cocoid: 8 },
      sentences: [{ tokens: ['a', 'third'] }],
    },
  ],
};

function write(name: string, value: unknown): Promise<string> {
  return folder.write({ [name]: JSON.stringify(value) });
}

describe('A coco source', () => {
  it("reads COCO's captions, all of an image in one record", async () => {
    const path = await write('captions.json', coco);
    const source = await folder.open(`coco:${path}?images=${join(folder.path, 'val')}`);
    assert.deepEqual(recordsOf(source), [
      { key: '1.png', captions: ['a cat'], meta: { id: '1' } },
      { key: '2.png', captions: ['a dog', 'the dog'], meta: { id: '2' } },
    ]);
    assert.deepEqual(source.location(1), { path: join(folder.path, 'val/2.png') });
    assert.deepEqual(notesOf(source), [
      '1 annotation of an image that is not listed is left out (annotation 13).',
      '1 annotation without a caption is left out (annotation 14).',
      '1 image without a caption is left out (3.png).',
    ]);
  });

  it("reads Karpathy's splits, with images in their folders or in one", async () => {
    const path = await write('dataset_coco.json', karpathy);
    for (const images of ['root', 'root/val2014']) {
      const root = join(folder.path, images);
      const source = await folder.open(`coco:${path}?images=${root}&split=test`);
      assert.deepEqual(recordsOf(source), [
        { key: 'val2014/7.png', captions: ['one', 'two'], meta: { id: '7', split: 'test' } },
      ]);
      assert.deepEqual(source.location(0), { path: join(folder.path, 'root/val2014/7.png') });
    }
    const both = await folder.open({
      ...{ type: 'coco', path, images: join(folder.path, 'root') },
      split: ['test', 'restval'],
    });
    assert.deepEqual(both.record(1).captions, ['a third']);
    const all = await folder.open(`coco:${path}?images=${join(folder.path, 'root')}`);
    assert.deepEqual(notesOf(all), [
      'All splits are read (test, restval): choose with split=test.',
    ]);
    assert.match(
      await folder.refusal(`coco:${path}?split=tset`),
      /no split "tset" \(did you mean "test"\?\); it has test, restval/,
    );
  });

  it('reads lists of images and captions, joined by image', async () => {
    const path = await write('val/list.json', [
      { image: '1.png', caption: ['one', 'two'] },
      { image: '2.png', caption: 'other' },
      { image: '1.png', caption: 'three' },
    ]);
    const source = await folder.open(`coco:${path}`);
    assert.deepEqual(
      recordsOf(source).map(({ captions }) => captions),
      [['one', 'two', 'three'], ['other']],
    );
    assert.match(await folder.refusal(`coco:${path}?split=test`), /has no splits/);
  });

  it('says where it looked for images, and what is no annotation file', async () => {
    const path = await write('elsewhere.json', coco);
    assert.match(
      await folder.refusal(`coco:${path}?images=${join(folder.path, 'root')}`),
      /None of the first 3 images of .* is in ".*root" .*\?images=DIR/,
    );
    const boxes = await write('instances.json', {
      ...coco,
      annotations: [{ image_id: 1, bbox: [] }],
    });
    assert.match(await folder.refusal(`coco:${boxes}`), /holds no captions of images/);
    const broken = await folder.write({ 'broken.json': '{"images": [' });
    assert.match(await folder.refusal(`coco:${broken}`), /cannot be read \(.*JSON/);
    assert.match(
      await folder.refusal('coco:/nowhere.json'),
      /cannot be read \(no such file or folder\)/,
    );
  });

  it('counts entries of every layout that name no image', async () => {
    const folderOption = `?images=${join(folder.path, 'val')}`;
    const listed = [{ image: '1.png', caption: 'one' }, { caption: 'two' }, 'three'];
    const list = await folder.open(`coco:${await write('list-bare.json', listed)}${folderOption}`);
    assert.deepEqual(notesOf(list), [
      '2 entries without an image are left out (entry 1, entry 2).',
    ]);
    const images = [...coco.images, { id: 4 }, { id: 2, file_name: '2.png' }];
    const path = await write('bare.json', { ...coco, images });
    const source = await folder.open(`coco:${path}${folderOption}`);
    assert.deepEqual(source.record(1).captions, ['a dog', 'the dog']);
    assert.match(notesOf(source).join(), /1 image without a file name is left out \(image 4\)/);
    assert.match(notesOf(source).join(), /1 entry of an image that is listed before .*image 2/);
    const split = { ...karpathy, images: [...karpathy.images, { filename: '9.png' }] };
    const karpathys = await write('karpathy-bare.json', split);
    assert.match(
      notesOf(await folder.open(`coco:${karpathys}?images=${join(folder.path, 'root')}`)).join(),
      /1 image without a file name and sentences is left out \(image 2\)/,
    );
  });
});
