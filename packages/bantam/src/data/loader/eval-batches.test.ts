import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { contactSheet } from '../contact-sheet.js';
import { evalBatches, type EvalBatch, type EvalBatchesOptions } from './eval-batches.js';
import { inspectSource } from '../inspect.js';
import { openSource } from '../sources/open-source.js';
import { Quarantine } from './quarantine.js';
import type { Source } from '../sources/source.js';

let directory: string;
let source: Source;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'bantam-eval-'));
  const rows = ['image,caption,kind'];
  for (let i = 0; i < 25; i++) {
    // Images 20 and 21 are alike.
    const background = { r: 10 * Math.min(i, 20 + (i > 21 ? i - 20 : 0)), g: 0, b: 0 };
    const create = { width: 12 + (i % 3), height: 10, channels: 3, background } as const;
    const same = { ...create, width: i === 20 || i === 21 ? 12 : create.width };
    const bytes = await sharp({ create: same }).png().toBuffer();
    await writeFile(join(directory, `${i}.png`), i === 7 ? bytes.subarray(0, 40) : bytes);
    rows.push(`${i}.png,${i < 3 ? 'the same' : `image number ${i}`},${i % 2 ? 'odd' : 'even'}`);
  }
  await writeFile(join(directory, 'all.csv'), rows.join('\n'));
  source = await openSource(`csv:${join(directory, 'all.csv')}?label=kind`);
});

after(async () => {
  await rm(directory, { recursive: true });
});

const preprocess = {
  size: 8,
  interpolation: 'bicubic',
  antialias: true,
  resizeMode: 'shortest',
} as const;

async function readAll(options: Partial<EvalBatchesOptions>): Promise<EvalBatch[]> {
  const batches: EvalBatch[] = [];
  for await (const batch of evalBatches(source, { preprocess, ...options })) batches.push(batch);
  return batches;
}

describe('evalBatches', () => {
  it('reads in order and leaves broken images out', async () => {
    const quarantine = new Quarantine();
    const batches = await readAll({ batchSize: 10, quarantine });
    assert.deepEqual(
      batches.map(({ size }) => size),
      [9, 10, 5],
    );
    const indices = batches.flatMap((batch) => [...batch.indices]);
    assert.deepEqual(
      indices,
      [...Array(25).keys()].filter((i) => i !== 7),
    );
    assert.deepEqual(
      quarantine.samples.map(({ key }) => key),
      ['7.png'],
    );
    for (const { indices: rows, images, records } of batches) {
      for (const [row, index] of rows.entries()) {
        assert.equal(records[row]?.key, `${index}.png`);
        assert.equal(
          images[row * 8 * 8 * 3],
          Math.min(255, 10 * (index > 21 ? index : Math.min(index, 20))),
        );
      }
    }
  });

  it('reads chosen records, and gives no empty batch', async () => {
    const batches = await readAll({ batchSize: 1, indices: [9, 7, 2] });
    assert.deepEqual(
      batches.map(({ indices }) => [...indices]),
      [[9], [2]],
    );
  });

  it('goes on however many images are broken, unless a quarantine says otherwise', async () => {
    const rows = Array.from({ length: 20 }, (_, i) => `none-${i}.png,c`);
    await writeFile(join(directory, 'none.csv'), ['image,caption', ...rows].join('\n'));
    source = await openSource(`csv:${join(directory, 'none.csv')}`);
    await readAll({});
    await assert.rejects(
      readAll({ quarantine: new Quarantine() }),
      /samples are broken, more than 5 % \("[^"]+": .*; "[^"]+": .*; …\)\. Repair or remove/,
    );
    source = await openSource(`csv:${join(directory, 'all.csv')}?label=kind`);
  });
});

describe('inspectSource', () => {
  it('counts', async () => {
    const summary = await inspectSource(source);
    assert.equal(summary.records, 25);
    assert.deepEqual(summary.captions.words, { min: 2, median: 3, max: 3 });
    assert.equal(summary.captions.duplicates, 2);
    assert.deepEqual(summary.images.width, { min: 12, median: 13, max: 14 });
    assert.deepEqual(
      summary.images.broken.map(({ key }) => key),
      ['7.png'],
    );
    assert.equal(summary.images.duplicates, 1);
    assert.deepEqual(summary.labels, [
      {
        name: 'label',
        classes: 2,
        unlabelled: 0,
        largest: { name: 'even', records: 13 },
        smallest: { name: 'odd', records: 12 },
      },
    ]);
  });
});

describe('contactSheet', () => {
  it('lays the images out in rows', async () => {
    const path = join(directory, 'sheets', 'sheet.png');
    await contactSheet(source, { path, count: 25, columns: 10, cell: 16 });
    const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
    assert.deepEqual([info.width, info.height], [10 * 20 + 2, 3 * 20 + 2]);
    // The middle of the second row's fourth image, number 13.
    const at = ((20 + 11) * info.width + 3 * 20 + 11) * info.channels;
    assert.deepEqual([...data.subarray(at, at + 3)], [130, 0, 0]);
  });

  it('shows images as an augmentation makes them', async () => {
    const path = join(directory, 'sheets', 'augmented.png');
    const augment = [{ op: 'invert', p: 1 }] as const;
    await contactSheet(source, { path, count: 25, columns: 10, cell: 16, augment });
    const { data, info } = await sharp(path).raw().toBuffer({ resolveWithObject: true });
    const at = ((20 + 11) * info.width + 3 * 20 + 11) * info.channels;
    assert.deepEqual([...data.subarray(at, at + 3)], [125, 255, 255]);
  });
});
