import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { openSource } from '../sources/open-source.js';
import type { Source } from '../sources/source.js';
import { heldOutKeys, splitByKeys } from './hold-out.js';

const size = 200;
const fraction = 0.25;
let folder = '';
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bantam-held-out-'));
  for (let i = 0; i < size; i++) {
    const background = { r: i, g: 255 - i, b: (7 * i) % 256 };
    const image = sharp({ create: { width: 8, height: 8, channels: 3, background } });
    await image.png().toFile(join(folder, `${i}.png`));
  }
});
after(() => {
  rmSync(folder, { recursive: true });
});

/** A table of all images, with the captions that a function gives. */
function tableOf(
  caption: (i: number) => string,
  { name = 'table', order = Array.from({ length: size }, (_, i) => i) } = {},
): Promise<Source> {
  const rows = order.map((i) => `${i}.png,${caption(i)}`);
  writeFileSync(join(folder, `${name}.csv`), `image,caption\n${rows.join('\n')}\n`);
  return openSource(`csv:${join(folder, `${name}.csv`)}`);
}

const captionsOf = (source: Source): string[] =>
  Array.from({ length: source.size }, (_, i) => source.record(i).captions[0] ?? '');

describe('heldOutKeys', () => {
  it('chooses about the fraction, by keys alone', async () => {
    const source = await tableOf((i) => `caption ${i}`);
    const keys = await heldOutKeys(source, { fraction });
    // Three standard deviations of a binomial around 50.
    assert.ok(Math.abs(keys.length - 50) < 19, String(keys.length));
    const order = Array.from({ length: size }, (_, i) => size - 1 - i);
    const reversed = await tableOf((i) => `caption ${i}`, { name: 'reversed', order });
    assert.deepEqual((await heldOutKeys(reversed, { fraction })).toSorted(), keys.toSorted());
    const half = await tableOf((i) => `caption ${i}`, { name: 'half', order: order.slice(0, 100) });
    const present = new Set(Array.from({ length: 100 }, (_, i) => half.record(i).key));
    assert.deepEqual(
      (await heldOutKeys(half, { fraction })).toSorted(),
      keys.filter((key) => present.has(key)).toSorted(),
    );
  });

  it('keeps records of one caption, and of one image, on one side', async () => {
    const source = await tableOf((i) => `caption ${Math.floor((i * 2) / 3)}`);
    const { kept, heldOut } = splitByKeys(source, await heldOutKeys(source, { fraction }));
    const trained = new Set(captionsOf(kept));
    assert.ok(captionsOf(heldOut).every((caption) => !trained.has(caption)));
    const order = Array.from({ length: size }, (_, i) => i % 120);
    let row = 0;
    const twice = await tableOf(() => `row ${row++}`, { name: 'twice', order });
    const split = splitByKeys(twice, await heldOutKeys(twice, { fraction }));
    const paths = (part: Source) =>
      Array.from({ length: part.size }, (_, i) => part.location(i).path);
    const kept2 = new Set(paths(split.kept));
    assert.ok(split.heldOut.size > 10);
    assert.ok(paths(split.heldOut).every((path) => !kept2.has(path)));
  });

  it('splits classes, whose captions are shared', async () => {
    const source = await tableOf((i) => `class ${i % 4}`);
    const { kept, heldOut } = splitByKeys(source, await heldOutKeys(source, { fraction }));
    for (const part of [kept, heldOut]) assert.equal(new Set(captionsOf(part)).size, 4);
  });

  it('holds nothing out whose file is copied under another name', async () => {
    const source = await tableOf((i) => `caption ${i}`);
    const [key] = await heldOutKeys(source, { fraction });
    assert.ok(key !== undefined);
    const rows = Array.from({ length: size }, (_, i) => `${i}.png,caption ${i}`);
    const before = await heldOutKeys(source, { fraction });
    // The copies have keys of their own; some of them stay.
    for (let i = 0; i < 8; i++) {
      copyFileSync(join(folder, key), join(folder, `copy ${i}.png`));
      rows.push(`copy ${i}.png,copy ${i}`);
    }
    writeFileSync(join(folder, 'copied.csv'), `image,caption\n${rows.join('\n')}\n`);
    const copied = await openSource(`csv:${join(folder, 'copied.csv')}`);
    const keys = await heldOutKeys(copied, { fraction });
    assert.ok(!keys.includes(key) && !keys.some((one) => one.startsWith('copy')), keys.join());
    assert.deepEqual(keys, before.slice(1));
  });
});

describe('splitByKeys', () => {
  it('has every record on one side, and leaves keys out that the source does not have', async () => {
    const source = await tableOf((i) => `caption ${i}`);
    const keys = ['3.png', '5.png'];
    const { kept, heldOut } = splitByKeys(source, keys);
    assert.deepEqual([kept.size, heldOut.size], [size - 2, 2]);
    assert.deepEqual(captionsOf(heldOut), ['caption 3', 'caption 5']);
    assert.deepEqual([kept.notes, kept.spec], [source.notes, source.spec]);
    assert.deepEqual(splitByKeys(source, ['3.png', 'gone.png']).keys, ['3.png']);
    assert.throws(() => splitByKeys(source, ['gone.png']), /Of the 200 records of .* 0 would be/);
  });
});
