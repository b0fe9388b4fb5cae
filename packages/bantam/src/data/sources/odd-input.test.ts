import assert from 'node:assert/strict';
import { rm, symlink, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import {
  captionsOf,
  DataFolder,
  notesOf,
  recordsOf,
  smallPng,
} from '../../test-support/data-files.js';
import { CounterRng } from '../counter-rng.js';
import { decodeLocation } from '../images/decode.js';
import { readLocationSync } from '../images/location.js';
import { sampleCaption } from './captions.js';
import { tarEnd, tarHeader, tarPadding } from './shards/tar.js';
import { plainCaptions, type Source } from './source.js';

let folder: DataFolder;
let files = 0;

before(async () => {
  folder = await DataFolder.create();
});

after(() => folder.remove());

async function csv(content: string | Uint8Array, query = ''): Promise<Source> {
  return folder.open(`csv:${await folder.write({ [`${files++}.csv`]: content })}${query}`);
}

async function refusedCsv(content: string | Uint8Array, query = ''): Promise<string> {
  return folder.refusal(`csv:${await folder.write({ [`${files++}.csv`]: content })}${query}`);
}

type Members = readonly (readonly [name: string, content: string | Uint8Array])[];

async function tar(members: Members): Promise<string> {
  const bytes = members.flatMap(([name, content]) => {
    const content_ = Buffer.from(content);
    return [tarHeader(name, content_.length), content_, tarPadding(content_.length)];
  });
  return folder.write({ [`${files++}.tar`]: Buffer.concat([...bytes, tarEnd]) });
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const wide = (text: string): Buffer => Buffer.from(`\ufeff${text}`, 'utf16le');

describe('A table with an odd header or separator', () => {
  for (const [what, content, expected] of [
    [
      'a byte order mark before quoted names',
      '\ufeff"image","caption"\r\n"a.png","one"\r\n',
      'one',
    ],
    ['spaces around names and cells', ' image , caption \n a.png , one \n', 'one'],
    ['names in capitals', 'IMAGE,CAPTION\na.png,one\n', 'one'],
    ['an index without a name', ',image,caption\n0,a.png,one\n', 'one'],
    ['empty columns at the end', 'image,caption,,\na.png,one,,\n', 'one'],
    [
      'semicolons, and commas in captions',
      'image;caption\na.png;a dog, running\n',
      'a dog, running',
    ],
    ['quoted separators', 'image;caption\na.png;"x; y"\n', 'x; y'],
    ['bars', 'image|caption\na.png|"a|b"\n', 'a|b'],
    ['tabs of Excel in UTF-16', wide('image\tcaption\r\na.png\tgröße\r\n'), 'größe'],
    [
      'UTF-16 with the high byte first',
      Buffer.from('image,caption\na.png,x\n', 'utf16le').swap16(),
      'x',
    ],
    ['carriage returns alone', 'image,caption\ra.png,one\r', 'one'],
    ['no line break at its end', 'image,caption\r\na.png,one', 'one'],
  ] as const) {
    it(`gives its caption: ${what}`, async () => {
      assert.deepEqual(captionsOf(await csv(content)), [[expected]]);
    });
  }

  it('is refused with the reason if there is no header', async () => {
    assert.match(await refusedCsv(''), /is empty; its first row names the columns/);
    assert.match(await refusedCsv('\n  \n\n'), /is empty/);
    assert.match(await refusedCsv('image,caption\n'), /The data set .* is empty/);
    assert.match(
      await refusedCsv('a.png,a dog\nb.png,a cat\n'),
      /has no header: its first row is "a.png/,
    );
    assert.match(await refusedCsv('# by me\nimage,caption\na.png,x\n'), /has no header/);
  });

  it('is found by names whose accents are composed otherwise', async () => {
    const source = await csv('image,le\u0301gende\na.png,x\n', '?caption=l\u00e9gende');
    assert.deepEqual(captionsOf(source), [['x']]);
  });

  it('uses the first of two columns with one name, and says so', async () => {
    const source = await csv('image,caption,caption,size,size\na.png,one,two,3,4\n');
    assert.deepEqual([captionsOf(source), source.record(0).meta], [[['one']], { size: '3' }]);
    assert.match(notesOf(source).join(), /two columns "caption"; the first one is used/);
  });

  it('has images alone if that is asked for, as the refusal says', async () => {
    const images = 'image\na.png\n';
    assert.match(await refusedCsv(images), /or take the images alone with \?caption=none; it has/);
    assert.deepEqual(captionsOf(await csv(images, '?caption=none')), [[]]);
  });

  it('has names that JavaScript uses itself', async () => {
    const source = await csv('image,caption,__proto__,constructor\na.png,one,p,c\n');
    assert.deepEqual(Object.entries(source.record(0).meta), [
      ['__proto__', 'p'],
      ['constructor', 'c'],
    ]);
  });
});

describe('A caption of a table', () => {
  for (const [what, cell, expected] of [
    ['inches', '6" nails', ['6" nails']],
    ['doubled quotes', '"6"" nails"', ['6" nails']],
    ['quotes with backslashes', '"he said \\"hi, you\\""', ['he said "hi, you"']],
    ['a backslash at the end', '"C:\\dir\\"', ['C:\\dir\\']],
    ['words that programs write for nothing', 'null', ['null']],
    ['a number', '123', ['123']],
    ['a list in JSON', '"[""one"", 2, null]"', ['one', '2']],
    ['a list of Python', `"['one', ""it's""]"`, ['one', "it's"]],
    ['a list of NumPy', `"['one'\n 'two']"`, ['one', 'two']],
    ['a bracket', '[a dog]', ['[a dog]']],
    ['line breaks', '"one\r\ntwo"', ['one\r\ntwo']],
    ['templates', '{} {caption} $& {name:2}', ['{} {caption} $& {name:2}']],
    ['an end token', 'a <|endoftext|> b', ['a <|endoftext|> b']],
  ] as const) {
    it(`is kept: ${what}`, async () => {
      const source = await csv(`image,caption\na.png,${cell}\nb.png,other\n`);
      assert.deepEqual(captionsOf(source), [[...expected], ['other']]);
    });
  }

  it('is none if it is empty, white space, invisible, or an empty list', async () => {
    const source = await csv(
      'image,caption\na.png,\nb.png,\u200b\nc.png,\u00a0\nd.png,[]\ne.png,x\n',
    );
    assert.deepEqual(captionsOf(source), [['x']]);
    assert.deepEqual(notesOf(source), [
      '4 rows without a caption are left out (line 2, line 3, line 4, line 5).',
    ]);
  });

  it('may be long, and has no NUL characters', async () => {
    const long = 'x '.repeat(700_000).trim();
    const source = await csv(`image,caption\na.png,"${long}"\nb.png,a\0b\nc.png,y\n`);
    assert.deepEqual(
      captionsOf(source).map(([caption]) => caption?.length),
      [long.length, 1],
    );
    assert.deepEqual(notesOf(source), ['1 row with NUL characters is left out (line 3).']);
  });

  it('is sampled with braces and without special tokens', () => {
    const sampled = (caption: string): string => {
      const rng = new CounterRng({ seed: 1, purpose: 'caption', epoch: 0, index: 0 });
      return sampleCaption({ key: '', captions: [caption], meta: { a: 'b' } }, plainCaptions, rng);
    };
    assert.equal(sampled('{} {a} {caption} $& $1'), '{} {a} {caption} $& $1');
    assert.equal(
      sampled('a <|endoftext|> b <|STARTOFTEXT|>'),
      'a <| endoftext|> b <| STARTOFTEXT|>',
    );
    assert.equal(sampled('x </s> [SEP] <3 [tag] <b>'), 'x </ s> [ SEP] <3 [tag] <b>');
  });
});

describe('A path of a table', () => {
  it('finds its file whatever the forms of its folders', async () => {
    const png = await smallPng();
    const [composed, apart] = ['gr\u00f6\u00dfe', 'gro\u0308\u00dfe'];
    await folder.write({ [`${apart}/${composed}.png`]: png, [`plus/${apart} 1.PNG`]: png });
    // A folder of each form.
    await folder.images(`both/${apart}/1.png`, `both/${composed}/2.png`);
    assert.ok(readLocationSync({ path: join(folder.path, `both/${composed}/1.png`) }).length > 0);
    for (const path of [`${composed}/${composed}.png`, `${apart}/${apart}.png`]) {
      assert.deepEqual(readLocationSync({ path: join(folder.path, path) }), new Uint8Array(png));
    }
    const encoded = join(folder.path, `plus/${encodeURIComponent(composed)}%201.png`);
    assert.deepEqual(readLocationSync({ path: encoded }), new Uint8Array(png));
    assert.throws(() => readLocationSync({ path: join(folder.path, 'plus/none.png') }), /ENOENT/);
  });

  it('finds its file whatever the form', async () => {
    const png = await smallPng();
    await folder.write({ 'forms/größe.png': png, 'forms/a b.png': png, 'forms/C.JPG': png });
    const at = (path: string): string => join(folder.path, 'forms', path);
    for (const path of ['gro\u0308\u00dfe.png', 'a%20b.png', 'gr%C3%B6%C3%9Fe.png', 'C.jpg']) {
      assert.deepEqual(Buffer.from(readLocationSync({ path: at(path) })), png, path);
      assert.equal((await decodeLocation({ path: at(path) })).width, 4, path);
    }
    const url = `file://${at('a%20b.png')}`;
    const source = await csv(`image,caption\n${url},x\nfile://forms/C.JPG,y\n`);
    assert.deepEqual(source.location(0), { path: at('a b.png') });
    assert.deepEqual(source.location(1), { path: at('C.JPG') });
  });
});

describe('A file that is no table', () => {
  it('is refused by what it is', async () => {
    const refused = async (name: string, bytes: string): Promise<string> =>
      folder.refusal(`csv:${await folder.write({ [name]: latin1(bytes) })}`);
    assert.match(await refused('a.csv.gz', '\x1f\x8b\x08'), /compressed by gzip; unpack it/);
    assert.match(await refused('a.xlsx', 'PK\x03\x04'), /zip archive or an Excel workbook/);
    assert.match(
      await refused('a.xls', '\xd0\xcf\x11\xe0'),
      /Excel workbook; save the sheet as CSV/,
    );
    assert.match(await refused('a.parquet', 'PAR1'), /Parquet file; open it with "parquet:"/);
    assert.match(
      await folder.refusal('csv:/dev/null'),
      /not a file that can be read at any position/,
    );
    assert.match(await refusedCsv('image,a,b\nx,1,2\n', '?caption=a&caption=b'), /"caption" twice/);
  });
});

describe('A folder with odd names', () => {
  it('gives the images and the captions beside them, and counts the rest', async () => {
    const png = await smallPng();
    await folder.write({
      'odd/cat/a.b.c.JPG': png,
      'odd/cat/a.b.c.txt': 'dotted',
      'odd/cat/._a.b.c.JPG': 'fork',
      'odd/cat/.DS_Store': '',
      'odd/__MACOSX/._x.jpg': '',
      'odd/dog/B.JpEg': png,
      'odd/dog/B.TXT': 'upper',
      'odd/dog/c.png': png,
      'odd/dog/c.Txt': latin1('caf\xe9'),
      'odd/dog/d.png': png,
      'odd/dog/d.txt': wide('wide'),
      'odd/dog/e.png': png,
      'odd/dog/e.json': '{"caption": null}',
      'odd/dog/f.png': png,
      'odd/dog/f.txt': ' \n',
      'odd/x.jpg/g.png': png,
      'odd/x.jpg/g.png.txt': 'in a folder with an extension',
      'odd/ü #1? %20/h.png': png,
      'odd/ü #1? %20/h.txt': '\ufeffmarked',
    });
    const root = join(folder.path, 'odd');
    await symlink('.', join(root, 'loop'));
    await symlink('self', join(root, 'self'));
    const source = await folder.open(`images:${root}`);
    assert.deepEqual(
      recordsOf(source).map(({ key, captions }) => [key, ...captions]),
      [
        ['cat/a.b.c.JPG', 'dotted'],
        ['dog/B.JpEg', 'upper'],
        ['dog/c.png', 'café'],
        ['dog/d.png', 'wide'],
        ['x.jpg/g.png', 'in a folder with an extension'],
        ['ü #1? %20/h.png', 'marked'],
      ],
    );
    assert.deepEqual(notesOf(source), [
      '1 hidden or system folder is left out (__MACOSX).',
      '1 link without a target is left out (self).',
      '2 hidden or system files are left out (.DS_Store, ._a.b.c.JPG).',
      '1 link to a folder that is read already is left out (loop).',
      '2 images without captions beside are left out (dog/e.png, dog/f.png).',
    ]);
    const classes = await folder.open(`folder:${root}`);
    assert.deepEqual(classes.labelSets.label?.classes, ['cat', 'dog', 'x.jpg', 'ü #1? %20']);
    assert.ok(
      notesOf(classes).includes('1 link to a folder that it is in is left out (loop).'),
      notesOf(classes).join('\n'),
    );
  });
});

describe('A shard with odd members', () => {
  it('gives the texts of every encoding, and counts what has none', async () => {
    const source = await folder.open(
      `wds:${await tar([
        ...([
          ['a.JPG', 'x'],
          ['a.TXT', '\ufeffmarked'],
        ] as const),
        ...([
          ['b.jpg', 'x'],
          ['b.txt', latin1('caf\xe9')],
        ] as const),
        ...([
          ['c.jpg', 'x'],
          ['c.txt', wide('wide')],
        ] as const),
        ...([
          ['d.jpg', 'x'],
          ['d.json', '{"caption": 5}'],
        ] as const),
        ...([
          ['e.jpg', 'x'],
          ['e.json', '{"caption": null}'],
        ] as const),
        ...([
          ['f.jpg', 'x'],
          ['f.txt', '  '],
        ] as const),
        ...([
          ['g.jpg', 'x'],
          ['g.json', '[1]'],
        ] as const),
        ...([
          ['h.jpg', 'x'],
          ['h.txt', 'y'.repeat(2 ** 20 + 1)],
        ] as const),
        ...([
          ['._i.jpg', 'x'],
          ['__MACOSX/._i.jpg', 'x'],
          ['.DS_Store', ''],
        ] as const),
      ])}`,
    );
    assert.deepEqual(captionsOf(source), [['marked'], ['café'], ['wide'], ['5']]);
    assert.match(notesOf(source).join('\n'), /^4 samples of the shard .* without a caption/);
  });

  it('has a sample for each image whose name holds dots', async () => {
    const source = await folder.open(
      `wds:${await tar([
        ...([
          ['p.2021.01.jpg', 'x'],
          ['p.2021.01.txt', 'one'],
        ] as const),
        ...([
          ['p.2021.02.jpg', 'x'],
          ['p.2021.02.txt', 'two'],
        ] as const),
        ...([
          ['q.jpg', 'x'],
          ['q.txt', 'three'],
          ['q.seg.png', 'x'],
        ] as const),
      ])}`,
    );
    assert.deepEqual(
      recordsOf(source).map(({ key, captions }) => [key.split('/').at(-1), ...captions]),
      [
        ['p.2021.01', 'one'],
        ['p.2021.02', 'two'],
        ['q', 'three'],
      ],
    );
  });

  it('is used up to where it is cut off, and refused if it is empty', async () => {
    const cut = await tar([
      ...([
        ['a.jpg', 'x'],
        ['a.txt', 'one'],
      ] as const),
      ...([
        ['b.jpg', 'x'],
        ['b.txt', 'two'],
      ] as const),
    ]);
    await truncate(cut, 512 * 5 + 100);
    const source = await folder.open(`wds:${cut}`);
    assert.deepEqual(captionsOf(source), [['one']]);
    assert.match(notesOf(source).join(), /is damaged .*: its first whole sample is used/);
    assert.match(await folder.refusal(`wds:${await tar([])}`), /holds no images/);
    const none = await folder.write({ 'none.tar': '' });
    assert.match(await folder.refusal(`wds:${none}`), /holds no whole sample: it is empty/);
  });
});

describe('Files beside data', () => {
  it('may be in UTF-16', async () => {
    const shard = await tar([
      ['a.jpg', 'x'],
      ['a.cls', '1'],
    ]);
    const classes = await folder.write({ 'wide/names.txt': wide('cat\r\ndog\r\n') });
    const source = await folder.open(`wds:${shard}?classes=${classes}`);
    assert.equal(source.record(0).label, 'dog');
    await folder.images('wide/a.png');
    const annotations = {
      images: [{ id: 1, file_name: 'a.png' }],
      annotations: [{ image_id: '1', caption: 7 }],
    };
    const coco = await folder.write({ 'wide/coco.json': wide(JSON.stringify(annotations)) });
    assert.deepEqual(captionsOf(await folder.open(`coco:${coco}`)), [['7']]);
  });
});

describe('An image file that is none, or far too large', () => {
  it('is refused in bounded memory', async () => {
    const bomb = '<svg xmlns="http://www.w3.org/2000/svg" width="200000" height="200000"/>';
    const entities = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name, i, all) =>
      i === 0 ? `<!ENTITY a "lol">` : `<!ENTITY ${name} "${`&${all[i - 1] ?? ''};`.repeat(10)}">`,
    );
    const files = {
      'bad/zero.png': '',
      'bad/text.jpg': 'hello',
      'bad/bomb.svg': bomb,
      'bad/entities.svg': `<!DOCTYPE s [${entities.join('')}]><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text>&h;</text></svg>`,
    };
    await folder.write(files);
    for (const name of Object.keys(files)) {
      await assert.rejects(decodeLocation({ path: join(folder.path, name) }), {
        name: 'BantamError',
      });
    }
    await rm(join(folder.path, 'bad'), { recursive: true });
  });
});
