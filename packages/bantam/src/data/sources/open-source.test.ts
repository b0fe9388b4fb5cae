import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { BantamError } from '../../base/errors.js';
import { openSource } from './open-source.js';

let directory: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bantam-sources-'));
});

after(async () => {
  await rm(directory, { recursive: true });
});

async function table(name: string, text: string): Promise<string> {
  await writeFile(join(directory, name), text);
  return join(directory, name);
}

/** The message of the error that opening a specification ends in. */
async function refusal(spec: string): Promise<string> {
  try {
    await openSource(spec);
  } catch (error) {
    assert.ok(error instanceof BantamError, String(error));
    return error.message;
  }
  return assert.fail(`${spec} was opened`);
}

describe('csv sources', () => {
  it('collect the captions of an image over rows and lists', async () => {
    const path = await table(
      'pairs.csv',
      'image,caption,kind,by\na.png,one,x,me\nb.png,"[""two"", ""three""]",y,you\na.png,[four],x,me\n',
    );
    const source = await openSource(`csv:${path}?label=kind`);
    assert.equal(source.size, 2);
    assert.deepEqual(source.record(0), {
      key: 'a.png',
      captions: ['one', '[four]'],
      label: 'x',
      meta: { by: 'me' },
    });
    assert.deepEqual(source.record(1).captions, ['two', 'three']);
    assert.equal(source.location(0).path, join(directory, 'a.png'));
    const labelSet = source.labelSets.label;
    assert.deepEqual(labelSet?.classes, ['x', 'y']);
    assert.deepEqual([...labelSet.labels], [0, 1]);
  });

  it('take the columns and the separator of the query', async () => {
    const path = await table('odd.txt', 'bild;titel\na.png;ein Apfel, rot\n');
    const source = await openSource(`csv:${path}?image=bild&caption=titel&sep=;`);
    assert.deepEqual(source.record(0).captions, ['ein Apfel, rot']);
  });

  it('read tabs in a .tsv file', async () => {
    const source = await openSource(
      `csv:${await table('p.tsv', 'filepath\ttitle\na.png\tx, y\n')}`,
    );
    assert.deepEqual(source.record(0).captions, ['x, y']);
  });

  it('refuse a missing column and name the nearest', async () => {
    const path = await table('c.csv', 'image,caption\na.png,x\n');
    const message = await refusal(`csv:${path}?caption=captoin`);
    assert.match(
      message,
      /no caption column "captoin" \(did you mean "caption"\?\); it has image, caption/,
    );
    assert.match(await refusal(`csv:${path}?caption=titel`), /no caption column "titel"; it has/);
    assert.match(
      await refusal(`csv:${await table('d.csv', 'image,words\n')}`),
      /usual name.*caption/,
    );
  });

  it('refuse an empty table and a missing file', async () => {
    assert.match(await refusal(`csv:${await table('e.csv', 'image,caption\n')}`), /is empty/);
    assert.match(
      await refusal('csv:/nowhere/pairs.csv'),
      /cannot be read \(no such file or folder\)/,
    );
  });
});

describe('folder sources', () => {
  it('take classes from folder names and captions from templates', async () => {
    const root = join(directory, 'classes');
    for (const name of ['sea_lion', 'cat']) {
      await mkdir(join(root, name), { recursive: true });
      await writeFile(join(root, name, '1.jpg'), '');
      await writeFile(join(root, name, 'notes.txt'), '');
    }
    const source = await openSource(`folder:${root}`);
    assert.equal(source.size, 2);
    assert.deepEqual(source.labelSets.label?.classes, ['cat', 'sea lion']);
    assert.equal(source.record(1).key, 'sea_lion/1.jpg');
    assert.equal(source.record(1).captions[0], 'a photo of a sea lion.');
  });

  it('refuse a missing folder and one without images', async () => {
    assert.match(await refusal('folder:/nowhere'), /cannot be read \(no such file or folder\)/);
    await mkdir(join(directory, 'bare'));
    assert.match(await refusal(`folder:${join(directory, 'bare')}`), /holds no folders/);
  });
});

describe('openSource', () => {
  it('refuses an unknown kind, an unknown option and half an option', async () => {
    assert.match(await refusal('emojis'), /no data "emojis" \(did you mean "emoji"\?\)/);
    assert.match(
      await refusal('emoji?styles=noto'),
      /no option "styles" \(did you mean "style"\?\)/,
    );
    assert.match(await refusal('folder:x?y'), /"y" .* is not KEY=VALUE/);
  });
});
