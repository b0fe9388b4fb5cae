import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import { BantamError } from '../base/errors.js';
import { openSource, readSubset } from '../data/index.js';
import { TinyRuns } from '../test-support/tiny-runs.js';
import type { TrainEvent } from './monitor/events.js';
import { readValidations } from './run-dir/metrics.js';
import { readRunConfig, runPaths } from './run-dir/paths.js';
import { resumeTraining, type TrainOptions } from './train.js';

const runs = new TinyRuns();
before(async () => {
  await runs.make();
  mkdirSync(runs.path('many'));
  for (let i = 0; i < 1000; i++) {
    const background = { r: i % 256, g: Math.floor(i / 4), b: (7 * i) % 256 };
    const image = sharp({ create: { width: 4, height: 4, channels: 3, background } });
    await image.png().toFile(runs.path('many', `${i}.png`));
  }
});
after(() => {
  runs.remove();
});

const asked: Partial<TrainOptions> = {
  validation: { data: 'held-out', holdOut: 0.3, every: 0.25 },
};

const keysOf = async (run: string) => [
  ...(await readSubset(runPaths(runs.path(run)).heldOut)).keys,
];

/** Trains and collects the notes. */
async function notesOf(run: string, changes: Partial<TrainOptions>): Promise<string[]> {
  const notes: string[] = [];
  const onEvent = (event: TrainEvent): void => {
    if (event.kind === 'note') notes.push(event.message);
  };
  await runs.train(run, { ...changes, onEvent });
  return notes;
}

/** A table of `rows` small images, each with a caption of its own. */
function writeTable(name: string, rows: number): string {
  const lines = Array.from({ length: rows }, (_, i) => `many/${i}.png,thing ${i}`);
  writeFileSync(runs.path(name), `image,caption\n${lines.join('\n')}\n`);
  return `csv:${runs.path(name)}`;
}

describe('a run that holds data out', () => {
  it('validates on them, trains on the others, and keeps their keys as a subset', async () => {
    const notes = await notesOf('asked', asked);
    const { validation, data } = readRunConfig(runs.path('asked'));
    assert.deepEqual([validation.data, validation.holdOut, validation.metric], ['held-out', 0.3, 'acc1']); // prettier-ignore
    const keys = await keysOf('asked');
    assert.ok(keys.length >= 2 && keys.length <= 12, keys.join());
    assert.match(notes.join('\n'), new RegExp(`^${keys.length} of 20 records are held out`, 'm'));
    assert.match(notes.join('\n'), /^The validation took \d+\.\d s; 4 of them/m);
    assert.equal(readValidations(runs.path('asked')).length, 4);
    const subset = await openSource(`${data}?subset=${runPaths(runs.path('asked')).heldOut}`);
    assert.equal(subset.size, keys.length);
    const { records } = JSON.parse(readFileSync(runPaths(runs.path('asked')).data, 'utf8')) as {
      records: number;
    };
    assert.equal(records, 20 - keys.length);
  });

  it('has the same split and weights when it is interrupted and resumed', async () => {
    await runs.trainInParts('parts', asked, [2, 5]);
    assert.deepEqual(await keysOf('parts'), await keysOf('asked'));
    assert.ok(runs.weights('parts').equals(runs.weights('asked')));
    assert.deepEqual(readValidations(runs.path('parts')), readValidations(runs.path('asked')));
  });

  it('reports the best and the last validation', async () => {
    const { validation, validations } = await runs.train('reported', asked);
    assert.deepEqual(validations?.best, validation);
    assert.equal(validations?.last.progress, 1);
  });

  it('cannot be resumed without their keys', async () => {
    const controller = new AbortController();
    await runs.train('lost', {
      ...asked,
      signal: controller.signal,
      onEvent: ({ kind }) => {
        if (kind === 'step') controller.abort();
      },
    });
    rmSync(runPaths(runs.path('lost')).heldOut);
    await assert.rejects(resumeTraining(runs.path('lost')), (error) => {
      assert.ok(error instanceof BantamError);
      assert.match(error.message, /cannot be resumed without the records that it holds out/);
      return true;
    });
  });

  it('refuses a fraction that leaves nothing to measure on', async () => {
    const validation = { data: 'held-out', holdOut: 1e-9 };
    await assert.rejects(runs.train('nothing', { validation }), /0 would be held out/);
  });
});

describe('a run without validation', () => {
  it('holds a part out if it passes over a thousand records four times', async () => {
    const data = writeTable('thousand.csv', 1000);
    const settings = { data, train: { batchSize: 100 } };
    const notes = await notesOf('often', { ...settings, budget: '4ksamples' });
    assert.match(notes.join('\n'), /^\d+ of 1000 records are held out, .* up to 4\.0 passes/m);
    assert.doesNotMatch(notes.join('\n'), /^After \d+ passes/m);
    assert.equal(readRunConfig(runs.path('often')).validation.metric, 'image_retrieval_recall@1');
    const keys = await keysOf('often');
    // Three standard deviations of a binomial around 100.
    assert.ok(Math.abs(keys.length - 100) < 29, String(keys.length));
  });

  it('trains on all records if the passes are few, the records are few, or it is told to', async () => {
    const data = writeTable('enough.csv', 1000);
    const train = { batchSize: 100 };
    const few = writeTable('few.csv', 999);
    const runsOfAll: readonly Partial<TrainOptions>[] = [
      { data, train, budget: '300samples' },
      { data: few, train, budget: '4ksamples' },
      { data, train, budget: '4ksamples', validation: { data: 'none' } },
    ];
    for (const [i, changes] of runsOfAll.entries()) {
      const notes = await notesOf(`all-${i}`, changes);
      assert.doesNotMatch(notes.join('\n'), /held out,/);
      const { records } = JSON.parse(
        readFileSync(runPaths(runs.path(`all-${i}`)).data, 'utf8'),
      ) as { records: number };
      assert.equal(records, changes.data === few ? 999 : 1000);
    }
  });
});
