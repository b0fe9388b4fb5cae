import assert from 'node:assert/strict';
import {
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { BantamError } from '../../../base/errors.js';
import { decodeLocation } from '../../images/decode.js';
import { inspectSource } from '../../inspect.js';
import { Loader } from '../../loader/loader.js';
import { describeNote } from '../notes.js';
import { openSource } from '../open-source.js';
import { writeShards } from '../../write-shards.js';
import { expandBraces } from './shard-names.js';
import type { Source } from '../source.js';
import { tarEnd, tarHeader, tarPadding } from './tar.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../../fixtures/data/${name}`, import.meta.url));

let directory: string;
let cacheDir: string;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bantam-shards-'));
  cacheDir = join(directory, 'cache');
});

after(async () => {
  await rm(directory, { recursive: true });
});

const openShards = (spec: string): Promise<Source> => openSource(`wds:${spec}`, { cacheDir });

/** Writes a shard of members by name. */
async function shard(name: string, members: Readonly<Record<string, string | Uint8Array>>) {
  const parts = Object.entries(members).flatMap(([member, content]) => {
    const bytes = Buffer.from(content);
    return [tarHeader(member, bytes.length), bytes, tarPadding(bytes.length)];
  });
  const path = join(directory, name);
  await writeFile(path, Buffer.concat([...parts, tarEnd]));
  return path;
}

async function refusal(opening: Promise<unknown>): Promise<string> {
  const error: unknown = await opening.then(
    () => assert.fail('nothing was refused'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof BantamError, String(error));
  return error.message;
}

const records = (source: Source) =>
  Array.from({ length: source.size }, (_, index) => source.record(index));

const damageOf = ({ notes = [] }: Source): string =>
  notes.map(({ message }) => message).find((message) => message.includes('damaged')) ?? '';

describe('wds sources', () => {
  for (const format of ['gnu', 'pax', 'ustar']) {
    it(`group members by name: ${format}`, async () => {
      const source = await openShards(fixture(`shard-${format}.tar`));
      const long = `${'a-folder-with-a-long-name/'.repeat(4)}ünïcode image`;
      const root = fixture(`shard-${format}`);
      assert.deepEqual(
        records(source).map(({ key, captions }) => [key.slice(root.length + 1), captions[0]]),
        [
          ['000', 'the first'],
          ['deep/er.dir/001', 'from a field'],
          ['002', 'a text before its image'],
          [long, 'a long name'],
          ['005', 'once'],
          ['005#2', 'again'],
          ['006', 'a photo of a 3.'],
        ],
      );
      assert.deepEqual(source.record(1).meta, { width: '64' });
      assert.equal(Buffer.from(await source.image(5)).toString(), 'image 005.jpg');
      assert.deepEqual(
        source.notes?.map(({ message }) => message.replace(/"[^"]*"/, 'S')),
        [
          '1 sample of the shard S without an image is left out.',
          '1 sample of the shard S without a caption is left out.',
          '1 member of the shard S that is neither a file nor a link to one is left out.',
          '1 sample of the shard S with the name of an earlier one: its key has a number.',
          'The labels are numbers without names, so prompts hold numbers; name a file with classes=FILE.',
        ],
      );
      assert.deepEqual([...(source.labelSets.label?.labels ?? [])], [-1, -1, -1, -1, -1, -1, 0]);
    });
  }

  it('take the caption and the label that the query names', async () => {
    const json = JSON.stringify({ alt: ['one', 'two'], kind: 'bird', year: 1999 });
    const path = await shard('query.tar', {
      ...{ '1.jpg': '', '1.txt': 'plain', '1.de.txt': 'deutsch', '1.json': json, '1.cls': '1' },
      ...{ '2.jpg': '', '2.txt': 'bare' },
    });
    const first = async (query: string) => (await openShards(`${path}${query}`)).record(0);
    assert.deepEqual((await first('')).captions, ['plain']);
    assert.deepEqual((await first('?text=de.txt')).captions, ['deutsch']);
    const asked = await openShards(`${path}?caption=alt&label=kind`);
    assert.equal(asked.size, 1);
    assert.deepEqual(asked.record(0), {
      key: `${directory}/query/1`,
      captions: ['one', 'two'],
      label: 'bird',
      meta: { year: '1999' },
    });
    const names = join(directory, 'classes.txt');
    await writeFile(names, 'cat\nsea lion\n');
    const named = await openShards(`${path}?classes=${names}`);
    assert.equal(named.record(0).label, 'sea lion');
    assert.deepEqual(named.labelSets.label?.classes, ['cat', 'sea lion']);
    assert.deepEqual([...named.labelSets.label.labels], [1, -1]);
  });

  it('expand braces, stars and folders in order', async () => {
    assert.deepEqual(expandBraces('{a,b}-{08..10}'), [
      'a-08',
      'a-09',
      'a-10',
      'b-08',
      'b-09',
      'b-10',
    ]);
    assert.deepEqual(expandBraces('{2..0}{x,}'), ['2x', '2', '1x', '1', '0x', '0']);
    await mkdir(join(directory, 'many'));
    for (const name of ['b', 'a', '10']) {
      await shard(`many/${name}.tar`, { '1.jpg': '', '1.txt': name });
    }
    const captions = async (pattern: string) =>
      records(await openShards(join(directory, pattern))).map(({ captions: [text] }) => text);
    assert.deepEqual(await captions('many/{b,10}.tar'), ['b', '10']);
    assert.deepEqual(await captions('many/*.tar'), ['10', 'a', 'b']);
    assert.deepEqual(await captions('many'), ['10', 'a', 'b']);
  });

  it('use the whole samples of a damaged shard and say so', async () => {
    const path = join(directory, 'cut.tar');
    const bytes = await readFile(fixture('shard-gnu.tar'));
    // Within 002.webp, whose sample has begun; the two samples before it are whole.
    await writeFile(path, bytes.subarray(0, bytes.indexOf('image 002.webp') + 5));
    const source = await openShards(path);
    assert.equal(source.size, 2);
    assert.match(
      damageOf(source),
      /cut\.tar" is damaged \(it ends at byte \d+ in the middle of "002.webp"\): its first 2 whole/,
    );
    assert.deepEqual((await inspectSource(source)).notes, source.notes);
    // The last sample is whole if the next one has begun.
    await writeFile(path, bytes.subarray(0, bytes.indexOf('a text before') + 5));
    assert.equal((await openShards(path)).size, 2);
    const header = bytes.indexOf('002.txt');
    bytes[header] = 0x31;
    await writeFile(path, bytes);
    const broken = await openShards(path);
    assert.equal(broken.size, 1);
    assert.match(damageOf(broken), new RegExp(`no tar header at byte ${header}`));
  });

  it('count class numbers by the lines of the list, which may hold a name twice', async () => {
    const members = {
      '0.jpg': '',
      '0.cls': '0',
      '1.jpg': '',
      '1.cls': '1',
      '2.jpg': '',
      '2.cls': '2',
    };
    const path = await shard('twice.tar', { ...members, '3.jpg': '', '3.cls': '7' });
    const classes = join(directory, 'twice.txt');
    await writeFile(classes, '\ufeffcrane\ndog\ncrane\n');
    const source = await openShards(`${path}?classes=${classes}`);
    assert.deepEqual([...(source.labelSets.label?.labels ?? [])], [0, 1, 2, -1]);
    assert.deepEqual(source.labelSets.label?.classes, ['crane', 'dog', 'crane']);
    const notes = (source.notes ?? []).map(describeNote);
    assert.match(notes.join('\n'), /hold "crane" more than once/);
    assert.match(
      notes.join('\n'),
      /1 label that the list of classes lacks: read as none \(.*twice\/3\)/,
    );
    await writeFile(classes, 'crane\n\ndog\n');
    assert.match(await refusal(openShards(`${path}?classes=${classes}`)), /Line 2 .* is empty/);
  });

  it("take up clip_benchmark's class names and prompts beside the shards", async () => {
    await mkdir(join(directory, 'bench', 'test'), { recursive: true });
    const path = await shard('bench/test/0.tar', { '0.jpg': '', '0.cls': '1' });
    await writeFile(join(directory, 'bench', 'classnames.txt'), 'cat\ndog\n');
    const templates = join(directory, 'bench', 'zeroshot_classification_templates.txt');
    await writeFile(templates, 'a photo of my {c}.\nthe {c}\n');
    const source = await openShards(path);
    assert.equal(source.record(0).label, 'dog');
    assert.deepEqual(source.record(0).captions, ['a photo of my dog.', 'the dog']);
    assert.deepEqual(source.labelSets.label?.templates, ['a photo of my {}.', 'the {}']);
    assert.deepEqual([...source.labelSets.label.labels], [1]);
    assert.match((source.notes ?? []).map(describeNote).join(), /classnames\.txt" is used/);
  });

  it("take clip_benchmark's folder for its test split, each line of a retrieval set a caption", async () => {
    await mkdir(join(directory, 'pairs', 'test'), { recursive: true });
    await mkdir(join(directory, 'pairs', 'train'), { recursive: true });
    await shard('pairs/test/0.tar', { '0.jpg': '', '0.txt': 'a cat\na pet' });
    await shard('pairs/train/0.tar', { '1.jpg': '', '1.txt': 'a dog' });
    await writeFile(join(directory, 'pairs', 'dataset_type.txt'), 'retrieval\n');
    const source = await openShards(join(directory, 'pairs'));
    assert.deepEqual(
      records(source).map(({ captions }) => captions),
      [['a cat', 'a pet']],
    );
    const train = await openShards(join(directory, 'pairs', 'train'));
    assert.deepEqual(train.record(0).captions, ['a dog']);
  });

  it('put samples together that are not sorted by name', async () => {
    const path = await shard('unsorted.tar', {
      ...{ 'b.jpg': 'B', 'a.jpg': 'A', 'a.txt': 'of a', 'b.txt': 'of b' },
      ...{ '._a.jpg': 'fork', '__MACOSX/a.jpg': 'fork' },
    });
    const source = await openShards(path);
    assert.deepEqual(
      records(source).map(({ captions }) => captions),
      [['of b'], ['of a']],
    );
    assert.match((source.notes ?? []).map(describeNote).join(), /1 sample .* put together by name/);
  });

  it('read archives that are joined, hard links, and no garbage after the end', async () => {
    const first = await readFile(await shard('first.tar', { '1.jpg': 'one', '1.txt': 'x' }));
    const second = await readFile(await shard('second.tar', { '2.jpg': 'two', '2.txt': 'y' }));
    const link = tarHeader('3.jpg', 0);
    link.write('1', 156);
    link.write('1.jpg', 157);
    link.write(' '.repeat(8), 148);
    link.write(
      link
        .reduce((sum, byte) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0'),
      148,
    );
    const text = [tarHeader('3.txt', 1), Buffer.from('z'), tarPadding(1)];
    const path = join(directory, 'joined.tar');
    const garbage = Buffer.alloc(700, 0x41);
    await writeFile(
      path,
      Buffer.concat([first, second.subarray(0, -1024), link, ...text, tarEnd, garbage]),
    );
    const source = await openShards(path);
    assert.deepEqual(
      records(source).map(({ captions }) => captions),
      [['x'], ['y'], ['z']],
    );
    assert.match((source.notes ?? []).map(describeNote).join(), /is 2 archives joined end to end/);
    const linked = join(directory, 'linked.tar');
    await writeFile(linked, Buffer.concat([first.subarray(0, -1024), link, ...text, tarEnd]));
    const links = await openShards(linked);
    assert.equal(Buffer.from(await links.image(1)).toString(), 'one');
    assert.deepEqual(links.notes, []);
  });

  it('name all shards that are missing', async () => {
    await shard('gap-0.tar', { '1.jpg': '', '1.txt': 'x' });
    await shard('gap-2.tar', { '1.jpg': '', '1.txt': 'x' });
    assert.match(
      await refusal(openShards(join(directory, 'gap-{0..4}.tar'))),
      /^3 of 5 shards are missing: ".*gap-1\.tar", ".*gap-3\.tar", ".*gap-4\.tar"; get them/,
    );
  });

  it('are read once: the index is kept until the shard changes', async () => {
    const path = await shard('kept.tar', { '1.jpg': 'x', '1.txt': 'before' });
    const folder = join(cacheDir, 'shards');
    await utimes(path, 1e9, 1e9);
    await openShards(path);
    const kept = await readdir(folder);
    // The same size and time, other bytes: what is seen comes from the index.
    await shard('kept.tar', { '1.jpg': 'x', '1.txt': 'behind' });
    await utimes(path, 1e9, 1e9);
    assert.deepEqual((await openShards(path)).record(0).captions, ['before']);
    await utimes(path, 1e9, 1e9 + 1);
    assert.deepEqual((await openShards(path)).record(0).captions, ['behind']);
    assert.equal((await readdir(folder)).length, kept.length);
    for (const name of kept) await writeFile(join(folder, name), 'spoilt');
    assert.deepEqual((await openShards(path)).record(0).captions, ['behind']);
  });

  it('refuse what holds no samples', async () => {
    assert.match(
      await refusal(openShards('/nowhere/{0..3}.tar')),
      /4 of 4 shards are missing: ".*0\.tar", .*3\.tar"/,
    );
    assert.match(await refusal(openShards(`${directory}/none-*.tar`)), /no file "none-\*\.tar"/);
    const texts = await shard('texts.tar', { '1.txt': 'x' });
    assert.match(await refusal(openShards(texts)), /holds no images/);
    const silent = await shard('silent.tar', { '1.jpg': '', '1.json': '{"alt":"x"}' });
    assert.match(
      await refusal(openShards(silent)),
      /None of the 1 samples .* has a caption \(\.txt\); they have \.json: choose with/,
    );
    assert.match(await refusal(openShards(`${silent}?caption=alt&text=txt`)), /name one of them/);
    assert.match(await refusal(openShards(`${silent}?captoin=alt`)), /did you mean "caption"/);
    const zip = join(directory, 'shard.tar.gz');
    await writeFile(zip, Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(600, 1)]));
    assert.match(await refusal(openShards(zip)), /compressed/);
    assert.match(await refusal(openShards('x{0..9999999}.tar')), /more than 1000000 files/);
  });
});

describe('writeShards', () => {
  let table: Source;

  before(async () => {
    const rows = ['image,caption,kind,by'];
    for (let i = 0; i < 25; i++) {
      const create = {
        width: 30,
        height: 20 + i,
        channels: 3,
        background: { r: i * 9, g: 90, b: 5 },
      } as const;
      const format = (['jpeg', 'png', 'webp', 'gif'] as const)[i % 4] ?? 'png';
      await sharp({ create })
        .toFormat(format)
        .toFile(join(directory, `${i}.${format}`));
      rows.push(`${i}.${format},"[""image ${i}"",""again""]",${i % 2 ? 'odd' : 'even'},me`);
    }
    await writeFile(join(directory, 'table.csv'), rows.join('\n'));
    table = await openSource(`csv:${join(directory, 'table.csv')}?label=kind`);
  });

  /** The first batches, without keys: those say the location of a sample. */
  async function batches(source: Source): Promise<unknown[]> {
    const loader = new Loader(source, {
      ...{ batchSize: 8, size: 16, seed: 3, workers: 0 },
      views: { image: source.augment },
    });
    const taken: unknown[] = [];
    for await (const { images, captions, indices } of loader.batches()) {
      taken.push([images, captions, [...indices]]);
      if (taken.length === 5) break;
    }
    return taken;
  }

  it('writes shards that train as what they were made of', async () => {
    const out = join(directory, 'packed');
    const summary = await writeShards(table, { out, shardSize: 10 });
    assert.deepEqual(
      { ...summary, spec: summary.spec.slice(directory.length + 5) },
      { spec: 'packed/{00000..00002}.tar', shards: 3, kept: 0, written: 25, broken: [] },
    );
    const source = await openSource(summary.spec, { cacheDir });
    assert.equal(source.size, 25);
    const { captions, label, meta } = source.record(7);
    assert.deepEqual([captions, label], [['image 7', 'again'], 'odd']);
    assert.deepEqual(meta, { by: 'me', key: '7.gif' });
    assert.deepEqual(source.labelSets.label?.labels, table.labelSets.label?.labels);
    assert.deepEqual(await batches(source), await batches(table));
  });

  it('goes on where it stopped and never leaves half a shard', async () => {
    const out = join(directory, 'resumed');
    const whole = await writeShards(table, { out, shardSize: 10 });
    const bytes = await readFile(join(out, '00001.tar'));
    await rm(join(out, '00001.tar'));
    await writeFile(join(out, '00001.tar.partial-1'), bytes.subarray(0, 700));
    const again = await writeShards(table, { out, shardSize: 10 });
    assert.deepEqual(again, { ...whole, kept: 2, written: 10 });
    assert.deepEqual(await readFile(join(out, '00001.tar')), bytes);
    assert.deepEqual(await readdir(out), ['00000.tar', '00001.tar', '00002.tar', 'pack.json']);
  });

  it('refuses a folder with other shards and a shard of nothing', async () => {
    const out = join(directory, 'taken');
    await writeShards(table, { out, shardSize: 10 });
    assert.match(
      await refusal(writeShards(table, { out, shardSize: 5 })),
      /holds shards of other data/,
    );
    await rm(join(out, 'pack.json'));
    assert.match(
      await refusal(writeShards(table, { out, shardSize: 10 })),
      /holds shards of other/,
    );
    assert.match(await refusal(writeShards(table, { out, shardSize: 0 })), /choose 1 or more/);
    await writeFile(join(directory, 'file'), '');
    const below = join(directory, 'file', 'x');
    assert.match(
      await refusal(writeShards(table, { out: below })),
      /cannot be made \(a part of the path is a file, not a folder\)/,
    );
  });

  it('keeps the pixels of every format and the columns of every name', async () => {
    const noise = Buffer.from(Array.from({ length: 20 * 12 * 3 }, (_, i) => (i * 37) % 251));
    const turned = sharp(noise, { raw: { width: 20, height: 12, channels: 3 } });
    await turned.clone().withMetadata({ orientation: 6 }).tiff().toFile(join(directory, 't.tiff'));
    await turned.clone().withIccProfile('p3').avif().toFile(join(directory, 't.avif'));
    await writeFile(
      join(directory, 'named.csv'),
      'image,caption,title,text,description,key,captions,label,meta\n' +
        't.tiff,x,T,U,D,K,C,L,M\nt.avif,y,T,U,D,K,C,L,M\n',
    );
    const source = await openSource(`csv:${join(directory, 'named.csv')}?caption=caption`);
    const { spec } = await writeShards(source, { out: join(directory, 'named') });
    const packed = await openSource(spec, { cacheDir });
    for (const index of [0, 1]) {
      const { meta, captions, label } = source.record(index);
      const again = packed.record(index);
      assert.deepEqual([again.meta, again.captions, again.label], [meta, captions, label]);
      assert.deepEqual(
        await decodeLocation(packed.location(index)),
        await decodeLocation(source.location(index)),
      );
    }
    assert.equal((await decodeLocation(packed.location(0))).width, 12);
  });

  it('leaves images out that cannot be read, and names them', async () => {
    await copyFile(join(directory, '0.jpeg'), join(directory, 'there.jpeg'));
    await writeFile(join(directory, 'odd.csv'), 'image,caption\nthere.jpeg,a\ngone.jpg,b\n');
    const source = await openSource(`csv:${join(directory, 'odd.csv')}`);
    const { broken, spec } = await writeShards(source, { out: join(directory, 'odd') });
    assert.deepEqual(
      broken.map(({ key }) => key),
      ['gone.jpg'],
    );
    assert.equal((await openSource(spec, { cacheDir })).size, 1);
  });
});
