import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { captionsOf, DataFolder, notesOf, recordsOf } from '../../../test-support/data-files.js';
import type { Source } from '../source.js';

let folder: DataFolder;
let files = 0;

before(async () => {
  folder = await DataFolder.create();
});

after(() => folder.remove());

async function write(content: string | readonly unknown[] | Uint8Array): Promise<string> {
  const text =
    typeof content === 'string' || content instanceof Uint8Array
      ? content
      : content.map((line) => JSON.stringify(line)).join('\n');
  return folder.write({ [`${files++}.jsonl`]: text });
}

async function open(content: Parameters<typeof write>[0], query = ''): Promise<Source> {
  return folder.open(`jsonl:${await write(content)}${query}`);
}

describe('A jsonl source', () => {
  it('reads usual fields, with scalars and lists of them as metadata', async () => {
    const source = await open([
      { image: 'a.png', caption: 'one', views: 3, tags: ['x', 'y'], boxes: [{ x: 1 }] },
      { image: 'sub/b.png', caption: 'two', clean: true },
    ]);
    assert.deepEqual(recordsOf(source), [
      { key: 'a.png', captions: ['one'], meta: { views: '3', tags: 'x, y' } },
      { key: 'sub/b.png', captions: ['two'], meta: { clean: 'true' } },
    ]);
    assert.deepEqual(source.location(1), { path: join(folder.path, 'sub/b.png') });
  });

  it('reads nested fields by dotted paths, through lists, and several captions', async () => {
    const rows = [
      {
        file: { path: 'a.png' },
        texts: { en: 'an apple', de: ['ein Apfel', 'der Apfel'] },
        sentences: [{ raw: 'first' }, { raw: 'second' }],
      },
    ];
    const nested = await open(rows, '?image=file.path&caption=texts.en,texts.de');
    assert.deepEqual(captionsOf(nested), [['an apple', 'ein Apfel', 'der Apfel']]);
    const lists = await open(rows, '?image=file&caption=sentences');
    assert.deepEqual(captionsOf(lists), [['first', 'second']]);
    const through = await open(rows, '?image=file.path&caption=sentences.raw');
    assert.deepEqual(captionsOf(through), [['first', 'second']]);
  });

  it('prefers a field of the dotted name itself', async () => {
    const source = await open(
      [{ image: 'a.png', 'text.en': 'literal', text: { en: 'nested' } }],
      '?caption=text.en',
    );
    assert.deepEqual(captionsOf(source), [['literal']]);
  });

  it('joins lines of one image to one record', async () => {
    const source = await open([
      { image: 'a.png', caption: 'one' },
      { image: 'b.png', caption: 'other' },
      { image: 'a.png', caption: 'two' },
    ]);
    assert.deepEqual(captionsOf(source), [['one', 'two'], ['other']]);
  });

  it('takes labels by name or number, with their captions made of them', async () => {
    const classes = await folder.write({ 'classes.txt': 'cat\ndog\n' });
    const rows = [
      { image: 'a.png', y: 1 },
      { image: 'b.png', y: 0 },
      { image: 'c.png', y: -1 },
    ];
    const source = await open(rows, `?label=y&classes=${classes}`);
    assert.deepEqual(source.labelSets.label?.classes, ['cat', 'dog']);
    assert.equal(source.record(0).captions[0], 'a photo of a dog.');
    assert.deepEqual(notesOf(source), [
      '1 row without a caption is left out (line 3).',
      'The captions are prompts made of the label.',
    ]);
  });

  it('counts what is not an object, and empty, null and missing captions', async () => {
    const source = await open(
      [
        '{"image": "a.png", "caption": "one"}',
        'no JSON',
        '["a list"]',
        '{"image": "b.png", "caption": null}',
        '{"image": "c.png", "caption": "  "}',
        '{"image": "d.png"}',
        '{"image": "", "caption": "no image"}',
        '',
        '{"image": "e.png", "caption": 42}',
        '{"image": "f.png", "caption": "cut o',
      ].join('\r\n'),
    );
    assert.deepEqual(captionsOf(source), [['one'], ['42']]);
    assert.deepEqual(notesOf(source), [
      '3 lines without a JSON object are left out (line 2, line 3, line 10).',
      '3 rows without a caption are left out (line 4, line 5, line 6).',
      '1 row without an image is left out (line 7).',
    ]);
  });

  it("reads Python's NaN, a byte order mark, UTF-16 and repeated keys", async () => {
    const nan = await open('\ufeff{"image": "a.png", "caption": "NaN is text", "score": NaN}\n');
    assert.deepEqual(recordsOf(nan), [{ key: 'a.png', captions: ['NaN is text'], meta: {} }]);
    const text = '\ufeff{"image": "a.png", "caption": "größe"}\n';
    const wide = await open(Buffer.from(text, 'utf16le'));
    assert.deepEqual(captionsOf(wide), [['größe']]);
    const twice = await open('{"image": "a.png", "caption": "old", "caption": "new"}');
    assert.deepEqual(captionsOf(twice), [['new']]);
    const proto = await open('{"image": "a.png", "caption": "x", "__proto__": "y"}');
    assert.deepEqual(Object.keys(proto.record(0).meta), ['__proto__']);
  });

  it('reads a file that is one JSON list', async () => {
    const source = await open('[{"image": "a.png", "caption": ["one", "two"]}]\n');
    assert.deepEqual(captionsOf(source), [['one', 'two']]);
  });

  it('takes images of another folder, and images without captions', async () => {
    const rows = [{ image: 'a.png' }];
    const source = await open(rows, '?caption=none&images=/elsewhere');
    assert.deepEqual(source.location(0), { path: '/elsewhere/a.png' });
    assert.deepEqual(captionsOf(source), [[]]);
  });

  it('names the fields that there are', async () => {
    const path = await write([{ photo: { url: 'a.png' }, words: 'x' }]);
    assert.match(
      await folder.refusal(`jsonl:${path}`),
      /no field with a usual name for its image; .*it has photo, photo.url, words/,
    );
    assert.match(
      await folder.refusal(`jsonl:${path}?image=photo.url&caption=word`),
      /no caption field "word" \(did you mean "words"\?\)/,
    );
    assert.match(
      await folder.refusal(`jsonl:${await write('plain text\n')}`),
      /holds no JSON objects/,
    );
  });

  it('reads objects with commas behind them or their last member', async () => {
    for (const content of [
      '{"image":"a.png","caption":"one, ]"},\n{"image":"b.png","caption":"two"},\n',
      '{"image":"a.png","caption":"one, ]",}\n{"image":"b.png","caption":"two",}\n',
      '[\n{"image":"a.png","caption":"one, ]",},\n{"image":"b.png","caption":"two"},\n]\n',
    ]) {
      const source = await open(content);
      assert.deepEqual([captionsOf(source), notesOf(source)], [[['one, ]'], ['two']], []]);
    }
  });

  it('counts labels beyond the list of classes, and rows with NUL characters', async () => {
    const classes = await folder.write({ 'classes.txt': 'cat\ndog\n' });
    const source = await open(
      [
        { image: 'a.png', caption: 'one', y: 1 },
        { image: 'b.png', caption: 'two', y: 7 },
        { image: 'c.png', caption: 'three', y: -1 },
        { image: 'd.png', caption: 'fo\0ur', y: 0 },
        { image: 'e\0.png', caption: 'five', y: 0 },
      ],
      `?label=y&classes=${classes}`,
    );
    assert.deepEqual(
      recordsOf(source).map(({ label }) => label),
      ['dog', undefined, undefined],
    );
    assert.deepEqual(notesOf(source), [
      '2 rows with NUL characters are left out (line 4, line 5).',
      '1 row with a label that the list of classes lacks: read as none (line 2).',
    ]);
    const bare = [
      { image: 'a.png', y: 1 },
      { image: 'b.png', y: 7 },
    ];
    assert.deepEqual(notesOf(await open(bare, `?label=y&classes=${classes}`)).slice(0, 1), [
      '1 row with a label that the list of classes lacks is left out (line 2).',
    ]);
  });
});
