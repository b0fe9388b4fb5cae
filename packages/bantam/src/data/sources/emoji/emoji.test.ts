import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { BantamError } from '../../../base/errors.js';
import { openSource } from '../open-source.js';
import { epochOrder } from '../../loader/order.js';
import type { Source } from '../source.js';
import { emojiEvaluations, heldOutConcepts } from './emoji-source.js';
import { canonicalHexcode } from './names.js';
import { getEmoji, openEmojiStore } from './store.js';
import { emojiNames, emojiStyles } from './styles.js';

/** 100 made-up concepts: every tenth a hand with five toned variants. */
const concepts = Array.from({ length: 100 }, (_, i) => {
  const hexcode = (0x1f400 + i).toString(16).toUpperCase();
  const base = {
    hexcode,
    label: `thing ${i}`,
    tags: ['tag', `t${i}`],
    order: i,
    group: 0,
    subgroup: i % 2,
  };
  const skins = [1, 2, 3, 4, 5].map((tone) => {
    const suffix = (0x1f3fa + tone).toString(16).toUpperCase();
    return { ...base, hexcode: `${hexcode}-${suffix}`, label: `thing ${i}: tone ${tone}`, tone };
  });
  return i % 10 === 0 ? { ...base, skins } : base;
});

let directory: string;
let path: string | undefined;

/**
 * Replaces the npm client, so that no network is needed: a script that makes the folders that
 * the packages would have. It counts its calls in a file, and fails while a file tells it to.
 */
const fakeNpm = `#!/usr/bin/env node
import { appendFileSync, cpSync, existsSync } from 'node:fs';
import { join } from 'node:path';
const here = process.env.FAKE_NPM;
appendFileSync(join(here, 'calls'), process.argv.slice(2).join(' ') + '\\n');
if (existsSync(join(here, 'offline'))) {
  console.error('npm error code ENOTFOUND\\nnpm error network request failed');
  process.exit(1);
}
const prefix = process.argv[process.argv.indexOf('--prefix') + 1];
for (const name of process.argv.slice(2).filter((word) => /.@\\d/.test(word))) {
  const bare = name.replace(/(.)@.*/, '$1');
  const made = join(here, 'packages', bare.replaceAll('/', '+'));
  cpSync(made, join(prefix, 'node_modules', bare), { recursive: true });
}
`;

async function makePackages(): Promise<void> {
  const folder = (name: string): string => join(directory, 'packages', name.replaceAll('/', '+'));
  const names = folder(emojiNames.name);
  await mkdir(join(names, 'en'), { recursive: true });
  await mkdir(join(names, 'meta'), { recursive: true });
  await writeFile(join(names, 'en/data.json'), JSON.stringify(concepts));
  const groups = { groups: { 0: 'objects' }, subgroups: { 0: 'face-smiling', 1: 'av-symbol' } };
  await writeFile(join(names, 'meta/groups.json'), JSON.stringify(groups));
  const messages = { groups: [{ key: 'objects', message: 'objects' }] };
  await writeFile(join(names, 'en/messages.json'), JSON.stringify(messages));
  const all = concepts.flatMap((entry) => [entry, ...('skins' in entry ? entry.skins : [])]);
  for (const [number, style] of emojiStyles.entries()) {
    await mkdir(join(folder(style.source.name), style.folder), { recursive: true });
    await writeFile(join(folder(style.source.name), 'LICENSE'), `Terms of ${style.source.name}`);
    for (const [i, { hexcode }] of all.entries()) {
      // Thing 5 looks the same in every style.
      const blue = hexcode === '1F405' ? 99 : number * 40;
      const fill = `rgb(${i % 256},${i >> 8},${blue})`;
      const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect x="4" y="4" width="24" height="24" fill="${fill}"/></svg>`;
      await writeFile(
        join(folder(style.source.name), style.folder, `${hexcode.toLowerCase()}.svg`),
        svg,
      );
    }
  }
}

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bantam-emoji-test-'));
  await makePackages();
  await mkdir(join(directory, 'bin'));
  await writeFile(join(directory, 'bin/package.json'), '{"type":"module"}');
  await writeFile(join(directory, 'bin/npm'), fakeNpm);
  await chmod(join(directory, 'bin/npm'), 0o755);
  path = process.env.PATH;
  process.env.PATH = `${join(directory, 'bin')}${delimiter}${path ?? ''}`;
  process.env.FAKE_NPM = directory;
});

after(async () => {
  process.env.PATH = path;
  await rm(directory, { recursive: true });
});

const cacheDir = (): string => join(directory, 'cache');
const open = (spec: string): Promise<Source> => openSource(spec, { cacheDir: cacheDir() });
const calls = async (): Promise<string[]> =>
  (await readFile(join(directory, 'calls'), 'utf8')).trim().split('\n');

describe('the emoji data set', () => {
  it('is asked for before it is there', async () => {
    await assert.rejects(open('emoji'), /run "bantam data get emoji"/);
  });

  it('tells why npm failed', async () => {
    await writeFile(join(directory, 'offline'), '');
    await assert.rejects(
      getEmoji({ cacheDir: cacheDir() }),
      (error) => error instanceof BantamError && error.message.includes('network request failed'),
    );
    await rm(join(directory, 'offline'));
  });

  it('is made once, with exact versions, and only what is missing of it', async () => {
    const stages = new Set<string>();
    const store = await getEmoji({
      cacheDir: cacheDir(),
      onProgress: ({ stage, what, done, total }) => {
        assert.ok(done <= total);
        stages.add(stage === 'render' ? what : stage);
      },
    });
    assert.deepEqual([...stages], ['fetch', ...emojiStyles.map(({ name }) => name)]);
    assert.equal(store.images.get('noto')?.length, 150);
    assert.equal((await calls()).length, 2);
    assert.match((await calls())[1] ?? '', /--ignore-scripts.* openmoji@17\.0\.0 /);

    await getEmoji({ cacheDir: cacheDir() });
    assert.equal((await calls()).length, 2);

    // As if a run had been killed while it wrote a style: no process has this number.
    await rm(join(store.directory, 'noto'), { recursive: true });
    await mkdir(join(store.directory, 'noto.partial-99999999'));
    const reopened = await getEmoji({ cacheDir: cacheDir() });
    assert.equal((await calls()).length, 3);
    assert.doesNotMatch((await calls())[2] ?? '', /openmoji/);
    assert.deepEqual(reopened.images, store.images);
    assert.deepEqual(
      (await readdir(store.directory)).sort(),
      ['names', ...emojiStyles.map(({ name }) => name)].sort(),
    );
  });

  it('renders on white at 64 pixels, and keeps the licence beside', async () => {
    const source = await open('emoji?style=twemoji');
    const image = sharp(await source.image(120));
    const { data, info } = await image.raw().toBuffer({ resolveWithObject: true });
    assert.deepEqual([info.width, info.height, info.channels], [64, 64, 3]);
    assert.deepEqual([...data.subarray(0, 3)], [255, 255, 255]);
    const middle = (32 * 64 + 32) * 3;
    assert.deepEqual([...data.subarray(middle, middle + 3)], [120, 0, 120]);
    const [notice] = source.licences;
    assert.equal(notice?.licence, 'CC-BY-4.0');
    const text = await readFile(notice.path ?? '', 'utf8');
    assert.match(text, /CC-BY-4\.0[^]*Terms of @discordapp\/twemoji/);
  });

  it('splits into training, held-out concepts, and styles never seen', async () => {
    const { names } = await openEmojiStore(cacheDir());
    const heldOut = heldOutConcepts(names);
    assert.ok(heldOut.size >= 1 && heldOut.size <= 12, String(heldOut.size));
    const meta = (source: Source) =>
      Array.from({ length: source.size }, (_, i) => source.record(i).meta);
    const train = meta(await open('emoji?split=train'));
    const styles = new Set(train.map(({ style }) => style));
    assert.deepEqual([...styles], ['openmoji', 'fluent', 'noto', 'twemoji']);
    assert.ok(train.every(({ concept = '' }) => !heldOut.has(concept)));
    // It looks the same in a style that is not to be seen.
    assert.ok(train.every(({ concept }) => concept !== '1F405'));
    const held = meta(await open('emoji?split=heldout&skin=default'));
    assert.equal(held.length, heldOut.size * emojiStyles.length);
    assert.ok(held.every(({ concept = '', skin }) => heldOut.has(concept) && skin === 'default'));
    await assert.rejects(open('emoji?split=train&style=fluent-3d'), /kept out of training/);
  });

  it('tells names, tags, classes and skin tones', async () => {
    const source = await open('emoji?style=noto');
    const record = source.record(1);
    assert.equal(record.key, 'noto/1f400-1f3fb');
    assert.deepEqual(record.captions, ['thing 0: tone 1']);
    assert.equal(record.meta.skin, 'light');
    assert.equal(record.meta.tags, 'tag, t0');
    assert.equal(record.label, 'smiling face');
    const subgroup = source.labelSets.subgroup;
    assert.deepEqual(subgroup?.classes, ['smiling face', 'audio video symbol']);
    assert.deepEqual([...subgroup.labels.subarray(5, 8)], [0, 1, 0]);
    for (const { spec } of emojiEvaluations) assert.ok((await open(spec)).size > 0);
  });

  it('visits each concept once an epoch, half of the time without a tone', async () => {
    const source = await open('emoji?split=train');
    let toned = 0;
    let either = 0;
    for (let epoch = 0; epoch < 60; epoch++) {
      const records = Array.from(epochOrder(source, 1, epoch), (i) => source.record(i));
      const visited = new Set(records.map(({ meta }) => meta.concept));
      assert.equal(visited.size, records.length);
      const hands = records.filter(({ meta }) => Number(meta.name?.split(/\D+/)[1]) % 10 === 0);
      either += hands.length;
      toned += hands.filter(({ meta }) => meta.skin !== 'default').length;
    }
    assert.ok(Math.abs(toned / either - 0.5) < 0.06, `${toned} of ${either}`);
  });
});

describe('canonicalHexcode', () => {
  it('drops presentation marks', () => {
    assert.equal(canonicalHexcode('2764-FE0F-200D-1F525'), '2764-1f525');
    assert.equal(canonicalHexcode('23-20E3'), '0023-20e3');
  });
});
