import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { at } from '../../base/at.js';
import { openSource } from '../../data/index.js';
import { presets } from '../../models/index.js';
import { chooseModel, distinctImages, vitFrom } from './choose-model.js';
import type { TrainEvent } from '../monitor/events.js';
import { writeImages } from '../../test-support/image-folders.js';
import { readRunConfig } from '../run-dir/paths.js';
import { planRun, train } from '../train.js';

let folder = '';

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bantam-choose-'));
  await writeImages(join(folder, 'images'), 2);
});
after(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** A table of eight rows about five images. */
function pairs(): string {
  const path = join(folder, 'pairs.csv');
  const images = ['red/0', 'red/0', 'red/1', 'blue/0', 'blue/0', 'blue/0', 'green/0', 'green/1'];
  const rows = images.map((image, row) => `images/${image}.png,caption ${row}`);
  writeFileSync(path, ['image,caption', ...rows].join('\n'));
  return `csv:${path}`;
}

describe('chooseModel', () => {
  it('is a convolutional tower below the turn and a ViT from it on, each with the reason', () => {
    const few = chooseModel(vitFrom - 1);
    const many = chooseModel(vitFrom);
    assert.equal(few.model, 'ModifiedResNet-Nano-64');
    assert.match(
      few.reason,
      /99,999,999 distinct images: below about 100 million, convolutional towers/,
    );
    assert.equal(many.model, 'ViT-Nano-16-64');
    assert.match(many.reason, /100,000,000 distinct images: from about 100 million on, ViTs/);
    for (const { model } of [few, many]) assert.ok(presets.has(model));
  });
});

describe('distinctImages', () => {
  it('counts an image with several captions once', async () => {
    assert.equal(distinctImages(await openSource(pairs())), 5);
  });

  it('tells images in one file apart by their offset', () => {
    const locations = [0, 8, 8, 16].map((offset) => ({
      path: 'a.tar',
      range: { offset, length: 8 },
    }));
    const location = (index: number) => at(locations, index);
    assert.equal(distinctImages({ size: 4, location }), 3);
  });
});

describe('a run without a model', () => {
  const options = (events: TrainEvent[]) => ({
    data: pairs(),
    budget: '4samples',
    train: { batchSize: 4, workers: 0 },
    tokenizer: { vocabSize: 600 },
    onEvent: (event: TrainEvent) => {
      events.push(event);
    },
  });
  const notes = (events: readonly TrainEvent[]): string[] =>
    events.flatMap((event) => (event.kind === 'note' ? [event.message] : []));

  it('takes the one for its number of distinct images and says why', async () => {
    const events: TrainEvent[] = [];
    const { run } = await train({ ...options(events), out: join(folder, 'run') });
    assert.equal(readRunConfig(run).model.vision.type, 'modified-resnet');
    assert.equal(notes(events).filter((note) => note === chooseModel(5).reason).length, 1);
  });

  it('is planned with the same one', async () => {
    const events: TrainEvent[] = [];
    await planRun(options(events));
    assert.ok(notes(events).includes(chooseModel(5).reason));
  });

  it('says nothing if a model is named', async () => {
    const events: TrainEvent[] = [];
    await planRun({ ...options(events), model: 'ViT-Pico-8-64' });
    assert.ok(notes(events).every((note) => !note.includes('distinct images')));
  });
});
