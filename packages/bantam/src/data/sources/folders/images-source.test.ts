import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { BantamError } from '../../../base/errors.js';
import { describeNote } from '../notes.js';
import { openSource } from '../open-source.js';
import type { Source } from '../source.js';

/** The root user may read every folder. */
const isUser = process.getuid?.() !== 0;

let directory: string;
let folders = 0;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bantam-folders-'));
});

after(async () => {
  await rm(directory, { recursive: true });
});

/** Makes a folder with these files. */
async function folder(files: Readonly<Record<string, string>>): Promise<string> {
  const root = join(directory, String(folders++));
  await mkdir(root);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), content, 'latin1');
  }
  return root;
}

async function refusal(spec: string): Promise<string> {
  try {
    await openSource(spec);
  } catch (error) {
    assert.ok(error instanceof BantamError, String(error));
    return error.message;
  }
  return assert.fail(`${spec} was opened`);
}

const notes = (source: Source): string[] => (source.notes ?? []).map(describeNote);
const contents = (source: Source): [string, readonly string[]][] =>
  Array.from({ length: source.size }, (_, i) => {
    const { key, captions } = source.record(i);
    return [key, captions];
  });

describe('folder sources', () => {
  it('follow links to class folders', async () => {
    const root = await folder({ 'cat/1.jpg': '' });
    const elsewhere = await folder({ '2.jpg': '' });
    await symlink(elsewhere, join(root, 'dog'));
    await symlink(join(directory, 'nowhere'), join(root, 'owl'));
    const source = await openSource(`folder:${root}`);
    assert.deepEqual(source.labelSets.label?.classes, ['cat', 'dog']);
    assert.deepEqual(notes(source), ['1 link without a target is left out (owl).']);
  });

  it('leave hidden and system folders and files out, and count them', async () => {
    const source = await openSource(
      `folder:${await folder({
        'cat/1.jpg': '',
        'cat/._1.jpg': '',
        'cat/Thumbs.db': '',
        '.ipynb_checkpoints/1.jpg': '',
        '__MACOSX/cat/1.jpg': '',
        '@eaDir/1.jpg': '',
      })}`,
    );
    assert.deepEqual(source.labelSets.label?.classes, ['cat']);
    assert.equal(source.size, 1);
    assert.deepEqual(notes(source), [
      '3 hidden or system folders are left out (.ipynb_checkpoints, @eaDir, __MACOSX).',
      '2 hidden or system files are left out (._1.jpg, Thumbs.db).',
    ]);
  });

  it('take every format that can be decoded, and count the other files', async () => {
    const source = await openSource(
      `folder:${await folder({
        'cat/1.JFIF': '',
        'cat/2.heic': '\xff\xd8\xff\xe0 a JPEG in truth',
        'cat/3.heic': '\0\0\0\x18ftypheic',
        'cat/4.bmp': 'BM',
        'cat/5.jpg.txt': '',
        'cat/a.b.c.png': '',
        'cat/deep/6.jpg': '',
        'dog/notes.txt': '',
        '7.jpg': '',
      })}`,
    );
    assert.deepEqual(
      contents(source).map(([key]) => key),
      ['cat/1.JFIF', 'cat/2.heic', 'cat/a.b.c.png'],
    );
    assert.deepEqual(notes(source), [
      '1 .heic file in a format that cannot be decoded (convert it to JPEG or PNG) is left out (3.heic).',
      '1 .bmp file in a format that cannot be decoded (convert it to JPEG or PNG) is left out (4.bmp).',
      '2 .txt files are left out (cat/5.jpg.txt, dog/notes.txt).',
      '1 folder within a class folder is left out (cat/deep).',
      '1 class folder without images is left out (dog).',
      '1 image outside of class folders is left out (7.jpg).',
    ]);
  });

  it('say what to use for a flat folder', async () => {
    const root = await folder({ '1.jpg': '' });
    assert.match(
      await refusal(`folder:${root}`),
      new RegExp(`use images:${root} for images in any`),
    );
  });

  it('put class names into captions unchanged', async () => {
    const source = await openSource(`folder:${await folder({ 'a$&b/1.jpg': '' })}`);
    assert.equal(source.record(0).captions[0], 'a photo of a a$&b.');
  });
});

describe('images sources', () => {
  it('read captions beside the images of any nesting', async () => {
    const root = await folder({
      '1.jpg': '',
      '1.txt': 'one\n\nanother\n',
      'deep/er/2.png': '',
      'deep/er/2.json': '{"title": "two", "label": "cat", "year": 1999}',
      'deep/3.webp': '',
      'deep/3.webp.txt': 'three',
      'deep/4.jpg': '',
      'deep/5.jpg': '',
      'deep/5.txt': ' \n',
    });
    const source = await openSource(`images:${root}`);
    assert.deepEqual(contents(source), [
      ['1.jpg', ['one', 'another']],
      ['deep/3.webp', ['three']],
      ['deep/er/2.png', ['two']],
    ]);
    assert.equal(source.record(2).label, 'cat');
    assert.deepEqual(source.record(2).meta, { year: '1999' });
    assert.deepEqual(notes(source), [
      '2 images without captions beside are left out (deep/4.jpg, deep/5.jpg).',
    ]);
  });

  it('take captions from file names', async () => {
    const root = await folder({ 'a-red_fox.v2.jpg': '', 'x/b.png': '' });
    const source = await openSource(`images:${root}?caption=name`);
    assert.deepEqual(contents(source), [
      ['a-red_fox.v2.jpg', ['a red fox.v2']],
      ['x/b.png', ['b']],
    ]);
  });

  it('count files that are neither images nor captions of one', async () => {
    const root = await folder({
      ...{ '1.jpg': '', '1.txt': 'one', '1.json': '{}', '2.txt': 'its image is missing' },
      ...{ 'x/photo': '\xff\xd8\xff', 'x/3.mpo': '\xff\xd8\xff', 'x/4.jpg_large': '' },
    });
    const expected = [
      '1 .txt file is left out (2.txt).',
      '1 .mpo file is left out (x/3.mpo).',
      '1 .jpg_large file is left out (x/4.jpg_large).',
      '1 file without an extension is left out (x/photo).',
    ];
    assert.deepEqual(notes(await openSource(`images:${root}`)), expected);
    assert.deepEqual(notes(await openSource(`images:${root}?caption=name`)), expected);
  });

  it('leave out names that are not in UTF-8, and pipes', async () => {
    const root = await folder({ '1.jpg': '', 'x/2.jpg': '' });
    const bytes = (name: string): Buffer => Buffer.from(join(root, name), 'latin1');
    await mkdir(bytes('caf\xe9'));
    await writeFile(bytes('caf\xe9/3.jpg'), '');
    await writeFile(bytes('x/caf\xe9.jpg'), '');
    execFileSync('mkfifo', [join(root, 'pipe.jpg')]);
    for (const spec of [`images:${root}`, `folder:${root}`]) {
      const found = notes(await openSource(spec));
      assert.ok(
        found.includes(
          '1 folder with a name that is not in UTF-8 (rename it) is left out (caf\ufffd).',
        ),
      );
      assert.ok(
        found.includes(
          '1 file with a name that is not in UTF-8 (rename it) is left out (caf\ufffd.jpg).',
        ),
      );
      assert.ok(found.includes('1 pipe or device is left out (pipe.jpg).'));
    }
  });

  it('leave out a folder within that cannot be read', { skip: !isUser }, async () => {
    const root = await folder({ '1.jpg': '', 'x/2.jpg': '', 'y/3.jpg': '' });
    await chmod(join(root, 'x'), 0);
    try {
      assert.deepEqual(contents(await openSource(`images:${root}?caption=name`)).length, 2);
      const note = '1 folder that cannot be read (permission denied) is left out (x).';
      assert.equal(notes(await openSource(`images:${root}?caption=name`))[0], note);
      assert.equal(notes(await openSource(`folder:${root}`))[0], note);
    } finally {
      await chmod(join(root, 'x'), 0o700);
    }
  });

  it('have no captions if there are none, and say so', async () => {
    const source = await openSource(`images:${await folder({ '1.jpg': '', 'x/2.jpg': '' })}`);
    assert.deepEqual(contents(source), [
      ['1.jpg', []],
      ['x/2.jpg', []],
    ]);
    assert.match(notes(source).join(), /The images have no captions/);
  });

  it('read a folder once, whatever links lead to it', async () => {
    const root = await folder({ 'a/1.jpg': '' });
    await symlink(root, join(root, 'a', 'circle'));
    const source = await openSource(`images:${root}`);
    assert.equal(source.size, 1);
    assert.match(notes(source).join(), /1 link to a folder that is read already is left out/);
  });

  it('are refused without images', async () => {
    assert.match(
      await refusal(`images:${await folder({ 'a.bmp': 'BM' })}`),
      /has no images.* 1 \.bmp file in a format that cannot be decoded/,
    );
    assert.match(await refusal('images:/nowhere'), /cannot be read \(no such file or folder\)/);
  });
});

describe('label=folder of an images source', () => {
  it('takes the innermost folder for the class, and the folders above as metadata', async () => {
    const root = await folder({
      ...{ 'photo/dog/1.jpg': '', 'sketch/dog/2.jpg': '', 'sketch/polar_bear/3.jpg': '' },
      '4.jpg': '',
    });
    const source = await openSource(`images:${root}?label=folder`);
    assert.deepEqual(source.labelSets.label?.classes, ['dog', 'polar bear']);
    const { captions, label, meta } = source.record(2);
    assert.deepEqual(
      [captions[0], label, meta],
      ['a photo of a polar bear.', 'polar bear', { folder: 'sketch' }],
    );
    assert.deepEqual((source.notes ?? []).map(describeNote), [
      '1 image outside of a folder is left out (4.jpg).',
    ]);
    const named = await openSource(`images:${root}?label=folder&caption=none`);
    assert.deepEqual([named.size, named.record(3).captions], [4, []]);
    assert.match(await refusal(`images:${root}?label=name`), /can only be "folder"/);
  });
});
