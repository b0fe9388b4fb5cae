import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { loadSafetensors, norm } from '@bantam/torch';
import sharp from 'sharp';
import { BantamError } from '../../base/errors.js';
import type { TrainEvent } from './events.js';
import { readJsonLines } from '../../base/json-lines.js';
import { readMetrics } from '../run-dir/metrics.js';
import type { NonFiniteRow } from './recovery.js';
import { TinyRuns } from '../../test-support/tiny-runs.js';
import type { TrainInput } from '../config/settings.js';
import type { TrainOptions } from '../train.js';

const runs = new TinyRuns();
before(async () => {
  await runs.make();
  // 24 images: an epoch is three batches, one of which has the white image.
  for (const [name, background, count] of [
    ['black', '#000', 12],
    ['dim', '#010000', 11],
    ['white', '#fff', 1],
  ] as const) {
    mkdirSync(runs.path('bright', name), { recursive: true });
    for (let i = 0; i < count; i++) {
      const image = sharp({ create: { width: 20, height: 20, channels: 3, background } });
      await image.png().toFile(runs.path('bright', name, `${i}.png`));
    }
  }
});
after(() => {
  runs.remove();
});

/** Normalised pixels of white are as good as the largest float32: their products overflow. */
function bright(train: TrainInput = {}): Partial<TrainOptions> {
  return {
    data: `folder:${runs.path('bright')}`,
    preprocess: { mean: [0, 0, 0], std: [3e-39, 3e-39, 3e-39] },
    train: { ema: 0.9, ...train },
  };
}

/** A checkpoint after each step. */
const saving = { checkpointMinutes: 1e-9 };

function skips(run: string): NonFiniteRow[] {
  return readJsonLines(runs.path(run, 'non-finite.jsonl'));
}

function notes(): { messages: string[]; onEvent: (event: TrainEvent) => void } {
  const messages: string[] = [];
  return {
    messages,
    onEvent: (event) => {
      if (event.kind === 'note') messages.push(event.message);
    },
  };
}

describe('a run with a sample that is not finite', () => {
  it('skips its steps, names them, and ends with finite weights', async () => {
    const { messages, onEvent } = notes();
    const result = await runs.train('skipped', { ...bright(), onEvent });
    assert.equal(result.samples, 96);
    assert.deepEqual([result.steps, result.skipped], [8, 4]);
    assert.equal(messages.filter((message) => message.startsWith('Skipped step')).length, 4);
    const rows = skips('skipped');
    assert.equal(rows.length, 4);
    assert.ok(rows.every(({ keys }) => keys.length === 8 && keys.includes('white/0.png')));
    assert.ok(rows.every(({ loss }) => loss === 'NaN'));
    const steps = readMetrics(result.run).map(({ step }) => step);
    assert.deepEqual(steps, [1, 2, 3, 4, 5, 6, 7, 8]);
    const { tensors } = loadSafetensors(runs.path('skipped', 'model', 'open_clip_model.safetensors')); // prettier-ignore
    for (const [name, tensor] of tensors) assert.ok(Number.isFinite(norm(tensor).item()), name);
  });

  it('is resumed bit for bit, and names each step once', async () => {
    const { steps, skipped } = await runs.trainInParts('parts', bright(), [1, 2, 5]);
    assert.deepEqual([steps, skipped], [8, 4]);
    assert.ok(runs.weights('parts').equals(runs.weights('skipped')));
    assert.deepEqual(skips('parts'), skips('skipped'));
  });

  it('rolls back to a checkpoint after too many in a row, then resumes', async () => {
    const { messages, onEvent } = notes();
    const settings = { ...saving, maxSkips: 1 };
    const options = { ...bright(settings), budget: '72samples', onEvent };
    const { steps, skipped } = await runs.train('rolled back', options);
    assert.deepEqual([steps, skipped], [6, 3]);
    const rollbacks = messages.filter((message) => /^The weights of .*step-\d+ are restored, as loss or gradient were not finite in a step;/.test(message)); // prettier-ignore
    assert.equal(rollbacks.length, 3, messages.join('\n'));
  });

  it('gives up after three rollbacks', async () => {
    const options = bright({ ...saving, maxSkips: 1 });
    await assert.rejects(runs.train('given up', options), (error) => {
      assert.ok(error instanceof BantamError);
      assert.match(error.message, /^Training stopped at step \d+: .*, and 3 rollbacks to a checkpoint did not help; start again with a lower train\.lr, or without the samples that .*non-finite\.jsonl names\.$/); // prettier-ignore
      return true;
    });
    assert.equal(existsSync(runs.path('given up', 'model')), false);
    assert.equal(skips('given up').length, 4);
  });
});

describe('a run that diverges', () => {
  const diverging = (lr: number, train: TrainInput = {}) => ({
    train: { lr, warmup: 0, ...train },
  });

  it('gives up without a checkpoint, with nothing half-written', async () => {
    await assert.rejects(
      runs.train('diverged', diverging(1e30)),
      /^BantamError: Training stopped at step 2: loss or gradient were not finite in 3 steps in a row, and there is no checkpoint to roll back to; start again with a lower train\.lr, or without the samples that .*diverged\/non-finite\.jsonl names\.$/,
    );
    for (const name of ['model', 'checkpoints']) {
      assert.equal(existsSync(runs.path('diverged', name)), false, name);
    }
    assert.equal(readMetrics(runs.path('diverged')).length, 1);
    assert.equal(skips('diverged').length, 3);
  });

  it('gives up if its checkpoints are no better', async () => {
    const { messages, onEvent } = notes();
    const options = { ...diverging(1e17, saving), budget: '800samples', onEvent };
    await assert.rejects(
      runs.train('no better', options),
      /3 rollbacks to a checkpoint did not help/,
    );
    assert.equal(messages.filter((message) => message.includes('are restored')).length, 3);
    assert.equal(skips('no better').length, 12);
  });

  it('saves no weights that are not finite', async () => {
    await assert.rejects(
      runs.train('last step', { ...diverging(1e30), budget: '8samples' }),
      /^BantamError: Training stopped at step 1: the weights are not finite, and there is no checkpoint to roll back to; start again with a lower train\.lr\.$/,
    );
    for (const name of ['model', 'checkpoints']) {
      assert.equal(existsSync(runs.path('last step', name)), false, name);
    }
  });

  it('saves none if it is interrupted either', async () => {
    await assert.rejects(
      runs.trainInParts('interrupted', diverging(1e30), [1]),
      /stopped at step 1: the weights are not finite/,
    );
    assert.equal(existsSync(runs.path('interrupted', 'checkpoints')), false);
  });
});
