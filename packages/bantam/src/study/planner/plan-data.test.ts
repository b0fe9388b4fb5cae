import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { openSource } from '../../data/index.js';
import { openPlanData } from './plan-data.js';

const folder = mkdtempSync(join(tmpdir(), 'bantam-plan-data-'));
after(() => {
  rmSync(folder, { recursive: true });
});

const count = 300;

before(async () => {
  mkdirSync(join(folder, 'images'));
  const rows = ['image,caption'];
  for (let i = 0; i < count; i++) {
    const background = { r: i % 256, g: (7 * i) % 256, b: Math.floor(i / 8) };
    const image = sharp({ create: { width: 8, height: 8, channels: 3, background } });
    await image.png().toFile(join(folder, 'images', `${i}.png`));
    rows.push(`images/${i}.png,a small square of colour ${i}`);
  }
  writeFileSync(join(folder, 'pairs.csv'), `${rows.join('\n')}\n`);
  writeFileSync(join(folder, 'most.csv'), `${rows.slice(0, 250).join('\n')}\n`);
  for (const classes of [5, 10]) {
    const labelled = rows.map((row, i) => `${row},${i === 0 ? 'class' : `class ${i % classes}`}`);
    writeFileSync(join(folder, `classes${classes}.csv`), `${labelled.join('\n')}\n`);
  }
  writeFileSync(join(folder, 'few.csv'), `${rows.slice(0, 21).join('\n')}\n`);
  writeFileSync(join(folder, 'others.csv'), `${[rows[0], ...rows.slice(21, 41)].join('\n')}\n`);
});

interface OpenOptions {
  readonly metric?: string;
  readonly classes?: readonly string[];
  readonly validate?: string;
}

function open(file: string, { metric, classes, validate = 'held-out' }: OpenOptions = {}) {
  return openPlanData({
    data: `csv:${join(folder, file)}`,
    metric,
    validate: validate === 'held-out' ? validate : `csv:${join(folder, validate)}`,
    classes,
    folder: join(folder, 'parts'),
  });
}

describe('openPlanData', () => {
  it('holds out a part that is the same each time, and shares no record with the rest', async () => {
    const [first, second] = [await open('pairs.csv'), await open('pairs.csv')];
    assert.equal(first.digest, second.digest);
    const [train, held] = [await openSource(first.train), await openSource(first.validation.data)];
    const keysOf = (source: typeof train): string[] =>
      Array.from({ length: source.size }, (_, i) => source.record(i).key);
    const all = new Set([...keysOf(train), ...keysOf(held)]);
    assert.equal(all.size, count);
    assert.equal(train.size + held.size, count);
    assert.ok(held.size >= 70 && held.size <= 130, String(held.size));
    assert.equal(first.unmeasurable, undefined);
    assert.deepEqual([first.pairs, first.validation.images], [train.size, held.size]);
  });

  it('plans by retrieval where captions are their own, at the length that nearly all have', async () => {
    const { candidateFacts, validation } = await open('pairs.csv');
    assert.equal(candidateFacts.metric, 'image_retrieval_recall@10');
    // All captions are different.
    assert.equal(validation.queries, validation.images);
    assert.ok(Math.abs(validation.chance - 10 / validation.images) < 1e-12);
    assert.equal(candidateFacts.contextLength % 4, 0);
    assert.ok(candidateFacts.captionTokens <= candidateFacts.contextLength);
    assert.equal(candidateFacts.hasOwnAugment, false);
  });

  it('says that twenty images are too few to measure on, and keeps them all', async () => {
    const { unmeasurable, pairs, validation } = await open('few.csv');
    // Ten of twenty.
    assert.equal(validation.chance, 0.5);
    assert.match(unmeasurable ?? '', /have 20 records, too few to hold out 50/);
    assert.equal(pairs, 20);
  });

  it('tells validation data of equal number apart', async () => {
    const [one, other] = await Promise.all(
      ['few.csv', 'others.csv'].map((file) => open('few.csv', { validate: file })),
    );
    assert.equal(one?.validation.images, other?.validation.images);
    assert.equal(one?.digest, other?.digest);
    assert.notEqual(one?.validation.digest, other?.validation.digest);
  });

  it('keeps the parts of other data in its folder', async () => {
    const first = await open('pairs.csv');
    await open('most.csv');
    const { size } = await openSource(first.train);
    assert.equal(size, first.pairs);
  });

  it('refuses a metric that guesses reach, and knows the chance of five answers', async () => {
    await assert.rejects(
      open('pairs.csv', { metric: 'acc5', validate: 'classes5.csv?label=class' }),
      /Any model has 100 % of acc5 on .*, which has too few classes/,
    );
    const { validation } = await open('pairs.csv', { metric: 'acc5', validate: 'classes10.csv?label=class' }); // prettier-ignore
    assert.equal(validation.chance, 0.5);
  });

  it('refuses ranks, and metrics that the data do not have', async () => {
    await assert.rejects(open('pairs.csv', { metric: 'image_retrieval_median_rank' }), /is a rank/);
    for (const metric of ['zero-shot', 'few_shot@5']) {
      for (const file of ['pairs.csv', 'few.csv']) {
        await assert.rejects(open(file, { metric }), /has no classes, so .* cannot be measured/);
      }
    }
    await assert.rejects(
      open('few.csv', { metric: 'acc1', classes: ['a', 'b'] }),
      /has no classes/,
    );
    await assert.rejects(open('pairs.csv', { metric: 'recal' }), /no metric "recal"/);
  });
});
