import assert from 'node:assert/strict';
import { realpathSync, rmSync, writeFileSync } from 'node:fs';
import { readdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { join } from 'node:path';
import { BantamError } from '../base/errors.js';
import { TinyRuns } from '../test-support/tiny-runs.js';
import type { TrainEvent } from './monitor/events.js';
import { resumeTraining, train, type TrainOptions } from './train.js';

const runs = new TinyRuns();
let table = '';

/** A table of the twenty images. */
function writeTable(caption: (name: string) => string): string {
  const rows = readdirSync(runs.path('images')).flatMap((folder) =>
    readdirSync(runs.path('images', folder)).map((file) => join('images', folder, file)),
  );
  const lines = rows.map((image) => `${image},"${caption(image)}"`);
  writeFileSync(runs.path('pairs.csv'), `image,caption\n${lines.join('\n')}\n`);
  return `csv:${runs.path('pairs.csv')}`;
}

before(async () => {
  await runs.make();
  table = writeTable((name) => `a ${name}`);
});

after(() => {
  runs.remove();
});

/** The notes of a run, which ends after some steps. */
async function notesOf(
  start: (control: Pick<TrainOptions, 'onEvent' | 'signal'>) => Promise<unknown>,
  stop = Infinity,
): Promise<string[]> {
  const notes: string[] = [];
  const controller = new AbortController();
  await start({
    signal: controller.signal,
    onEvent: (event: TrainEvent) => {
      if (event.kind === 'note') notes.push(event.message);
      if (event.kind === 'step' && event.step >= stop) controller.abort();
    },
  });
  return notes;
}

describe('a run on data', () => {
  it('says once that it has passed over them often without validation', async () => {
    const options = runs.options('often', { data: table });
    const ofHeart = (notes: readonly string[]) =>
      notes.filter((note) => note.includes('learn them by heart'));
    // The eleventh of twelve steps is in the fifth pass.
    const first = ofHeart(await notesOf((control) => train({ ...options, ...control }), 11));
    assert.deepEqual(first, [
      'After 4 passes over the 20 samples a model may learn them by heart while its training loss still falls; a run with --validate held-out would show it.',
    ]);
    const out = runs.path('often');
    assert.deepEqual(ofHeart(await notesOf((control) => resumeTraining(out, control))), []);
  });

  it('says once that captions are cut to the context, and how to keep them', async () => {
    const data = writeTable((name) => `a ${name} with very very many words that go on and on`);
    const options = runs.options('cut', { data });
    const cut = (notes: readonly string[]) => notes.filter((note) => note.includes('captions'));
    const notes = await notesOf((control) => train({ ...options, ...control }), 2);
    assert.deepEqual(cut(notes), [
      '100 % of the captions fill the 16 tokens of the context, and what is longer is cut; --set tokenizer.contextLength=32 keeps more of them.',
    ]);
    const out = runs.path('cut');
    assert.deepEqual(cut(await notesOf((control) => resumeTraining(out, control))), []);
    const again = runs.options('cut again', { data, init: { model: join(out, 'model') } });
    assert.deepEqual(cut(await notesOf((control) => train({ ...again, ...control }), 1)), [
      `100 % of the captions fill the 16 tokens of the context, and what is longer is cut; "bantam models convert ${join(out, 'model')} --to open-clip --context-length 32 --out DIR" makes a model that reads more.`,
    ]);
    table = writeTable((name) => `a ${name}`);
  });

  it('notices on resuming that they have changed, and only then', async () => {
    const out = runs.path('changed');
    const options = runs.options('changed', { data: table });
    await notesOf((control) => train({ ...options, ...control }), 3);
    const same = await notesOf((control) => resumeTraining(out, control), 5);
    assert.ok(
      same.every((note) => !note.includes('have changed')),
      same.join('\n'),
    );
    writeTable((name) => (name.includes('red') ? `one ${name}` : `a ${name}`));
    const other = await notesOf((control) => resumeTraining(out, control), 7);
    assert.match(other.join('\n'), /have changed since this run began \(still 20 records/);
    rmSync(runs.path('images', 'red', '0.png'));
    const smaller = await notesOf((control) => resumeTraining(out, control), 9);
    assert.match(smaller.join('\n'), /have changed since this run began/);
  });

  it('names the folder that it began in if its data are not found from another', async () => {
    const began = process.cwd();
    const out = runs.path('elsewhere');
    const root = runs.path();
    try {
      process.chdir(root);
      const options = runs.options('elsewhere', { data: 'csv:pairs.csv' });
      await notesOf((control) => train({ ...options, ...control }), 3);
      process.chdir(runs.path('images'));
      const message = `The run began in ${realpathSync(root)}, where its relative paths lead: resume it from there.`;
      await assert.rejects(
        resumeTraining(out),
        (error: unknown) =>
          error instanceof BantamError &&
          error.message.includes('"pairs.csv" cannot be read') &&
          error.message.endsWith(message),
      );
      process.chdir(root);
      await notesOf((control) => resumeTraining(out, control), 5);
    } finally {
      process.chdir(began);
    }
  });

  it('refuses a batch of one sample', async () => {
    const options = runs.options('one', { data: table, train: { batchSize: 1 } });
    await assert.rejects(
      train(options),
      (error: unknown) =>
        error instanceof BantamError &&
        error.message.includes('A batch of 1 has no other captions'),
    );
  });
});
