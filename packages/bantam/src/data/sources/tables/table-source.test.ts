import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { BantamError } from '../../../base/errors.js';
import { describeNote } from '../notes.js';
import { openSource } from '../open-source.js';
import type { Source } from '../source.js';

let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bantam-tables-'));
});

after(async () => {
  await rm(directory, { recursive: true });
});

let tables = 0;

async function open(
  content: string | Buffer,
  { query = '', kind = 'csv' }: { query?: string; kind?: string } = {},
): Promise<Source> {
  const path = join(directory, `${tables++}.${kind}`);
  await writeFile(path, content);
  return openSource(`${kind}:${path}${query}`);
}

async function refusal(...table: Parameters<typeof open>): Promise<string> {
  try {
    await open(...table);
  } catch (error) {
    assert.ok(error instanceof BantamError, String(error));
    return error.message;
  }
  return assert.fail('the table was opened');
}

const records = (source: Source) => Array.from({ length: source.size }, (_, i) => source.record(i));
const captions = (source: Source): string[][] =>
  records(source).map(({ captions }) => [...captions]);
const notes = (source: Source): string[] => (source.notes ?? []).map(describeNote);

describe('quotes in a table', () => {
  it('swallow nothing if they never close', async () => {
    const source = await open(
      'image\tcaption\na.png\t"Vintage lamp\nb.png\ta blue square\nc.png\ta green square\n',
      { kind: 'tsv' },
    );
    assert.deepEqual(captions(source), [['"Vintage lamp'], ['a blue square'], ['a green square']]);
    assert.deepEqual(notes(source), [
      '1 row with a quote that never closes: read as text (line 2).',
    ]);
  });

  it('stay in a caption that text follows', async () => {
    const source = await open('image,caption\na.png,"Vintage" lamp, red\nb.png,x\n');
    assert.deepEqual(captions(source), [['"Vintage" lamp, red'], ['x']]);
  });

  it('are an error if one of a later row would close them', async () => {
    assert.match(
      await refusal('image\tcaption\na.png\t"Vintage lamp\nb.png\tlamp 12"\n', { kind: 'tsv' }),
      /The quote that opens in line 2 of .* closes only in line 3.*quote=none/,
    );
    const source = await open('image\tcaption\na.png\t"Vintage lamp\nb.png\tlamp 12"\n', {
      kind: 'tsv',
      query: '?quote=none',
    });
    assert.deepEqual(captions(source), [['"Vintage lamp'], ['lamp 12"']]);
  });

  it('hold line breaks, and later rows keep the numbers of their lines', async () => {
    const source = await open('image,caption\na.png,"one\ntwo, ""three"""\n\nb.png,\nc.png,x\n');
    assert.deepEqual(captions(source), [['one\ntwo, "three"'], ['x']]);
    assert.deepEqual(notes(source), ['1 row without a caption is left out (line 5).']);
  });
});

describe('rows of a table', () => {
  it('that are longer than the header give the rest to a caption in the last column', async () => {
    const source = await open('image,caption\na.png,a dog, running on grass\n');
    assert.deepEqual(captions(source), [['a dog, running on grass']]);
    assert.deepEqual(notes(source), [
      '1 row longer than the header: the last column takes the rest (line 2).',
    ]);
  });

  it('that are longer than the header are left out if the caption is not last', async () => {
    const source = await open(
      'image,caption,by\na.png,a dog, running,me\nb.png,x,me\nc.png,y,me,,\n',
    );
    assert.deepEqual(captions(source), [['x'], ['y']]);
    assert.deepEqual(notes(source), ['1 row longer than the header is left out (line 2).']);
  });

  it('that are shorter than the header are counted', async () => {
    const source = await open('image,caption,by\na.png,x\nb.png\nc.png,y,me\n');
    assert.deepEqual(captions(source), [['x'], ['y']]);
    assert.deepEqual(notes(source), [
      '1 row without a caption is left out (line 3).',
      '1 row shorter than the header (line 2).',
    ]);
  });

  it('without an image or a caption are left out and named by their lines', async () => {
    const source = await open('image,caption\n,x\nb.png, \nc.png,"[""""]"\nd.png,y\n');
    assert.deepEqual(captions(source), [['y']]);
    assert.deepEqual(notes(source), [
      '1 row without an image is left out (line 2).',
      '2 rows without a caption are left out (line 3, line 4).',
    ]);
  });

  it('of which none is left are an error that says why', async () => {
    assert.match(
      await refusal('image,caption\na.png,\n'),
      /is empty\. 1 row without a caption is left out \(line 2\)\./,
    );
  });

  it('with web addresses are left out', async () => {
    const source = await open('image,caption\nhttps://example.org/a.png,x\nb.png,y\n');
    assert.deepEqual(captions(source), [['y']]);
    assert.match(notes(source).join(), /1 row with a web address in place of a file is left out/);
  });

  it('with an empty label are records without a label', async () => {
    const source = await open('image,caption,kind\na.png,x,\nb.png,y, cat\nc.png,z,dog\n', {
      query: '?label=kind',
    });
    assert.deepEqual(source.labelSets.label?.classes, ['cat', 'dog']);
    assert.deepEqual([...source.labelSets.label.labels], [-1, 0, 1]);
    assert.equal('label' in source.record(0), false);
    assert.equal(source.record(1).label, 'cat');
  });

  it('of one image with different labels keep the first label and are counted', async () => {
    const source = await open(
      'image,caption,kind\na.png,x,cat\nb.png,y,dog\na.png,z,dog\nb.png,w,\n',
      { query: '?label=kind' },
    );
    assert.deepEqual(captions(source), [
      ['x', 'z'],
      ['y', 'w'],
    ]);
    assert.deepEqual([...(source.labelSets.label?.labels ?? [])], [0, 1]);
    assert.deepEqual(notes(source), [
      '1 row with another label than an earlier row of its image: the first label counts (line 4).',
    ]);
  });
});

describe('paths in a table', () => {
  it('may have backslashes', async () => {
    await mkdir(join(directory, 'img'));
    await writeFile(join(directory, 'img', 'a.png'), 'bytes');
    const source = await open('image,caption\nimg\\a.png,x\n');
    assert.equal(source.record(0).key, 'img/a.png');
    assert.equal(Buffer.from(await source.image(0)).toString(), 'bytes');
    assert.deepEqual(notes(source), ['1 image path with backslashes: read as folders.']);
  });

  it(
    'keep a backslash that is part of a name',
    { skip: process.platform === 'win32' },
    async () => {
      await writeFile(join(directory, 'odd\\name.png'), 'odd');
      const source = await open('image,caption\nodd\\name.png,x\n');
      assert.equal(Buffer.from(await source.image(0)).toString(), 'odd');
    },
  );

  it('find files whose accents are composed otherwise', async () => {
    await writeFile(join(directory, 'cafe\u0301.png'), 'decomposed');
    const source = await open('image,caption\ncaf\u00e9.png,x\n');
    assert.equal(Buffer.from(await source.image(0)).toString(), 'decomposed');
  });
});

describe('encodings of a table', () => {
  it('are Windows-1252 where rows are not UTF-8', async () => {
    const source = await open(
      Buffer.from('image,caption\na.png,caf\xe9 \x93happy\x94\nb.png,plain\n', 'latin1'),
    );
    assert.deepEqual(captions(source), [['café “happy”'], ['plain']]);
    assert.deepEqual(notes(source), ['1 row not in UTF-8: read as Windows-1252 (line 2).']);
  });

  it('are refused if a line is in neither', async () => {
    assert.match(
      await refusal(Buffer.from('image,caption\na.png,\x83\x81\x83\x93\n', 'latin1')),
      /Line 2 of .* is neither UTF-8 nor Windows-1252; name the encoding with \?encoding=/,
    );
  });

  it('are taken from the query', async () => {
    const bytes = Buffer.from('image,caption\na.png,\x83\x81\x83\x93\n', 'latin1');
    assert.deepEqual(captions(await open(bytes, { query: '?encoding=shift_jis' })), [['メン']]);
    assert.match(await refusal(bytes, { query: '?encoding=klingon' }), /no encoding "klingon"/);
  });

  for (const mark of [true, false]) {
    it(`are UTF-16 ${mark ? 'by the byte order mark' : 'by their zero bytes'}`, async () => {
      const text = 'image\tcaption\r\na.png\tcafé 🙂\r\n';
      const little = Buffer.from(`${mark ? '\ufeff' : ''}${text}`, 'utf16le');
      const source = await open(little, { kind: 'tsv' });
      assert.deepEqual(captions(source), [['café 🙂']]);
      assert.match(notes(source).join(), /is read as UTF-16LE/);
      const big = await open(Buffer.from(little).swap16(), { kind: 'tsv' });
      assert.deepEqual(captions(big), [['café 🙂']]);
    });
  }

  it('may have the byte order mark of UTF-8, and line ends of any kind', async () => {
    for (const text of ['\ufeffimage,caption\r\na.png,x\r\n', 'image,caption\ra.png,x\r']) {
      assert.deepEqual(captions(await open(text)), [['x']]);
    }
  });
});

describe('columns of a table', () => {
  it('are found by another separator than the usual one', async () => {
    for (const text of [
      'image;caption\na.png;x, y\n',
      'sep=;\nimage;caption\na.png;x, y\n',
      'image|caption\na.png|x, y\n',
      'image\tcaption\na.png\tx, y\n',
    ]) {
      assert.deepEqual(captions(await open(text)), [['x, y']], text);
    }
    assert.match(
      notes(await open('image;caption\na.png;x\n')).join(),
      /The columns of .* are separated by ";"/,
    );
    const tab = await open('image\tcaption\na.png\tx\n', { query: '?sep=tab' });
    assert.deepEqual(captions(tab), [['x']]);
    assert.match(await refusal('image,caption\n', { query: '?sep=ab' }), /is not one character/);
  });

  it('with one name are noted, and the first is used', async () => {
    const source = await open('image,caption,caption\na.png,x,y\n');
    assert.deepEqual(captions(source), [['x']]);
    assert.match(notes(source).join(), /two columns "caption"; the first one is used/);
  });
});

describe('a large table', () => {
  it('gives every row wherever it is read', async () => {
    const rows = Array.from({ length: 30_000 }, (_, i) => `dir/${i % 20_000}.jpg,caption ${i}`);
    const source = await open(`image,caption\n${rows.join('\n')}`);
    assert.equal(source.size, 20_000);
    for (const index of [0, 9_999, 19_999, 3, 10_001]) {
      const expected =
        index < 10_000 ? [`caption ${index}`, `caption ${index + 20_000}`] : [`caption ${index}`];
      assert.deepEqual(source.record(index).captions, expected);
      assert.equal(source.record(index).key, `dir/${index}.jpg`);
    }
    assert.throws(() => source.record(20_000), RangeError);
  });

  it('that changes while it is in use is an error', async () => {
    const path = join(directory, 'changing.csv');
    const rows = Array.from({ length: 15_000 }, (_, i) => `${i}.png,${'x'.repeat(200)}`);
    await writeFile(path, `image,caption\n${rows.join('\n')}`);
    const source = await openSource(`csv:${path}`);
    assert.deepEqual(source.record(14_999).captions, ['x'.repeat(200)]);
    await writeFile(path, 'image,caption\na.png,z\n');
    assert.throws(() => source.record(0), /has changed since it was opened/);
  });
});
