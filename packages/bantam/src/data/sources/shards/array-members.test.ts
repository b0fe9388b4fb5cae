import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BantamError } from '../../../base/errors.js';
import { inspectSource } from '../../inspect.js';
import { describeNote } from '../notes.js';
import { openSource } from '../open-source.js';
import type { Source } from '../source.js';

const directory = mkdtempSync(join(tmpdir(), 'bantam-arrays-'));
after(() => {
  rmSync(directory, { recursive: true });
});

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../../../fixtures/data/${name}`, import.meta.url));
const open = (path: string, query = ''): Promise<Source> =>
  openSource(`wds:${path}${query}`, { cacheDir: join(directory, 'cache') });
const fmow = fixture('wds_wilds-fmow_test');
const voc = fixture('wds_voc2007_multilabel');
const regions = 'region:Asia|Europe|Africa|Americas|Oceania|Other';

describe('the .npy members of shards', () => {
  it('become metadata by the names of their values', async () => {
    const source = await open(fmow, `?npy=${regions},year,y`);
    assert.equal(source.size, 12);
    assert.deepEqual(source.record(0).meta, { region: 'Asia', year: '0', y: '0' });
    assert.deepEqual(source.record(11).meta, { region: 'Other', year: '2', y: '3' });
    assert.deepEqual([source.record(2).label, source.labelSets.label?.labels[2]], ['bridge', 2]);
    // An empty name leaves a value out, numbers without a name stay numbers.
    const some = await open(fmow, '?npy=region:Asia,,class');
    assert.deepEqual(some.record(11).meta, { region: '5', class: '3' });
  });

  it('are noted where they have no names, and refused with wrong ones', async () => {
    const source = await open(fmow);
    assert.deepEqual(source.record(0).meta, {});
    assert.match((source.notes ?? []).map(describeNote).join(), /npy=NAME,NAME/);
    const refused = (message: RegExp) => (error: unknown) =>
      error instanceof BantamError && message.test(error.message);
    await assert.rejects(open(fmow, '?npy=year,year'), refused(/names "year" twice/));
    await assert.rejects(open(fmow, '?npy=,'), refused(/holds no names/));
  });

  it('are counted and left out where they are damaged', async () => {
    const copy = join(directory, 'damaged');
    cpSync(fmow, copy, { recursive: true });
    const shard = join(copy, 'test', '0.tar');
    const bytes = readFileSync(shard);
    const second = bytes.indexOf('NUMPY', bytes.indexOf('NUMPY') + 1);
    bytes.write('NUMPX', second);
    writeFileSync(shard, bytes);
    const source = await open(copy, `?npy=${regions},year,y`);
    assert.deepEqual([source.record(1).meta, source.record(2).meta.region], [{}, 'Europe']);
    const notes = (source.notes ?? []).map(describeNote).join('\n');
    assert.match(
      notes,
      /A \.npy member of the shard ".*" cannot be read \(that of "s0000001": it is no \.npy file\)/,
    );
  });

  it('are the classes of images in multi-label data', async () => {
    const source = await open(voc);
    const { label } = source.labelSets;
    assert.deepEqual(label?.classes, ['aeroplane', 'bicycle', 'bird']);
    assert.deepEqual(
      label.several?.map((ids) => [...ids]),
      [[0], [1], [0, 1], [2], [0, 2], [], [1, 2], [0]],
    );
    assert.ok(label.labels.every((id) => id === -1));
    assert.deepEqual(source.record(2).captions, [
      'a photo of a aeroplane.',
      'a photo of a bicycle.',
    ]);
    assert.deepEqual(source.record(5).captions, []);
    const keys = [source.record(4).key, source.record(5).key];
    const list = join(directory, 'keys.txt');
    writeFileSync(list, keys.join('\n'));
    const part = await open(voc, `?subset=${list}`);
    assert.deepEqual(part.labelSets.label?.several?.map((ids) => [...ids]), [[0, 2], []]); // prettier-ignore
    const { labels } = await inspectSource(source);
    assert.deepEqual([labels[0]?.unlabelled, labels[0]?.largest], [1, { name: 'aeroplane', records: 4 }]); // prettier-ignore
  });

  it('keep their classes in a mix', async () => {
    const mixed = await openSource({
      type: 'mix',
      sources: [{ data: `wds:${fmow}` }, { data: `wds:${voc}` }],
    });
    const { label } = mixed.labelSets;
    const names = (index: number) =>
      [...(label?.several?.[index] ?? [])].map((id) => label?.classes[id]);
    assert.deepEqual([names(0), names(14), names(17)], [['airport'], ['aeroplane', 'bicycle'], []]);
  });
});
