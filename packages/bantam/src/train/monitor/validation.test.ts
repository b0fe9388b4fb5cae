import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { loadSafetensors } from '@bantam/torch';
import { BantamError, UsageError } from '../../base/errors.js';
import type { OpenValidator } from '../../eval/index.js';
import type { TrainEvent } from './events.js';
import { TinyRuns } from '../../test-support/tiny-runs.js';
import { resumeTraining, type TrainOptions } from '../train.js';
import { readValidations } from '../run-dir/metrics.js';

const runs = new TinyRuns();
before(() => runs.make());
after(() => {
  runs.remove();
});

/** A validator whose values go by the step at which the model is measured. */
function byStep(values: Readonly<Record<number, number>>, lowerIsBetter = false): OpenValidator {
  return () =>
    Promise.resolve({
      lowerIsBetter,
      measure: ({ info }) => Promise.resolve(values[Number(info.steps)] ?? NaN),
    });
}

/** Twelve steps, a validation after every third. */
function validated(
  values: Readonly<Record<number, number>>,
  validation: NonNullable<TrainOptions['validation']> = {},
): Partial<TrainOptions> {
  return {
    openValidator: byStep(values),
    validation: { data: 'folder:somewhere', every: 0.25, ...validation },
    train: { ema: 0.9, keepCheckpoints: 9 },
  };
}

const rising = { 3: 0.2, 6: 0.5, 9: 0.4, 12: 0.5 };

function values(run: string): [step: number, value: number, best: boolean][] {
  return readValidations(runs.path(run)).map(({ step, value, best }) => [step, value, best]);
}

function best(run: string): Buffer {
  return readFileSync(runs.path(run, 'best', 'open_clip_model.safetensors'));
}

describe('a run with validations', () => {
  it('keeps the weights of the best, the averaged ones', async () => {
    const events: TrainEvent[] = [];
    const onEvent = (event: TrainEvent): void => void events.push(event);
    const result = await runs.train('whole', { ...validated(rising), onEvent });
    assert.deepEqual(values('whole'), [
      [3, 0.2, true],
      [6, 0.5, true],
      [9, 0.4, false],
      [12, 0.5, false],
    ]);
    assert.equal(result.steps, 12);
    assert.equal(result.validation?.step, 6);
    assert.equal(result.stoppedEarly, false);
    assert.equal(events.filter(({ kind }) => kind === 'validation').length, 4);
    assert.ok(runs.weights('whole').equals(best('whole')));
    const [model, ema] = [
      ['model', 'open_clip_model.safetensors'],
      ['checkpoints', 'step-00000006', 'ema.safetensors'],
    ].map((path) => loadSafetensors(runs.path('whole', ...path)).tensors);
    assert.ok(model && ema);
    assert.equal(model.size, ema.size);
    for (const [name, tensor] of model) {
      assert.deepEqual(tensor.toTypedArray(), ema.get(name)?.toTypedArray(), name);
    }
    const board = readdirSync(runs.path('whole', 'tensorboard'));
    const written = board.map((file) => readFileSync(runs.path('whole', 'tensorboard', file)));
    assert.ok(Buffer.concat(written).includes('validation/image_retrieval_recall@1'));
  });

  it('trains as it does without', async () => {
    await runs.train('plain', { train: { ema: 0.9 } });
    const expected = runs.checkpoint('plain');
    for (const [part, bytes] of runs.checkpoint('whole')) {
      assert.ok(expected.get(part)?.equals(bytes), part);
    }
  });

  it('has the same validations where it is interrupted, also just before one', async () => {
    const result = await runs.trainInParts('parts', validated(rising), [1, 3, 6, 8]);
    assert.equal(result.validation?.step, 6);
    assert.deepEqual(values('parts'), values('whole'));
    assert.ok(runs.weights('parts').equals(runs.weights('whole')));
  });

  it('ends within a validation when the signal comes, the last as well, and resumes with it', async () => {
    for (const stop of [6, 12, Infinity]) {
      const controller = new AbortController();
      const openValidator: OpenValidator = async (settings) => {
        const validator = await byStep(rising)(settings);
        const measure: typeof validator.measure = (model, options) => {
          if (model.info.steps === stop) controller.abort();
          options.signal?.throwIfAborted();
          return validator.measure(model, options);
        };
        return { ...validator, measure };
      };
      const control = { openValidator, signal: controller.signal };
      const { interrupted, steps, model } =
        stop === 6
          ? await runs.train('cut', { ...validated(rising), ...control })
          : await resumeTraining(runs.path('cut'), control);
      assert.deepEqual([interrupted, steps], [stop < Infinity, Math.min(stop, 12)]);
      assert.equal(model === undefined, interrupted);
    }
    assert.deepEqual(values('cut'), values('whole'));
    assert.ok(runs.weights('cut').equals(runs.weights('whole')));
  });

  it('takes less for better where the metric is a rank', async () => {
    const ranks = { ...validated({}), openValidator: byStep({ 3: 9, 6: 4, 9: 5, 12: 4 }, true) };
    assert.equal((await runs.train('ranks', ranks)).validation?.step, 6);
  });

  it('ends early where its patience is over, and does not go on when resumed', async () => {
    const messages: string[] = [];
    const onEvent = (event: TrainEvent): void => {
      if (event.kind === 'note') messages.push(event.message);
    };
    const falling = validated({ 3: 0.5, 6: 0.4, 9: 0.3 }, { patience: 2 });
    const result = await runs.train('early', { ...falling, onEvent });
    assert.deepEqual([result.steps, result.stoppedEarly, result.interrupted], [9, true, false]);
    assert.equal(
      messages.at(-1),
      'Training ends early: 2 validations in a row gave no better image_retrieval_recall@1 than 0.5 at step 3.',
    );
    assert.ok(runs.weights('early').equals(best('early')));
    const bytes = runs.weights('early');
    const again = await resumeTraining(runs.path('early'), { openValidator: byStep({}) });
    assert.deepEqual([again.steps, again.stoppedEarly], [9, true]);
    assert.ok(runs.weights('early').equals(bytes));
    const patient = await runs.trainInParts('early parts', falling, [4, 6, 7]);
    assert.equal(patient.steps, 9);
    assert.deepEqual(values('early parts'), values('early'));
  });

  it('forgets validations that were made after the checkpoint it goes on from', async () => {
    const controller = new AbortController();
    await runs.train('killed', {
      ...validated(rising),
      signal: controller.signal,
      onEvent: (event) => {
        if (event.kind === 'step' && event.step === 7) controller.abort();
      },
    });
    const later = { step: 9, samples: 72, progress: 0.75, metric: 'x', value: 9, best: true };
    appendFileSync(runs.path('killed', 'validation.jsonl'), `${JSON.stringify(later)}\n{"step":`);
    await resumeTraining(runs.path('killed'), { openValidator: byStep(rising) });
    assert.deepEqual(values('killed'), values('whole'));
  });
});

describe('validation that cannot be', () => {
  it('is refused before there is a run', async () => {
    const { openValidator, ...nobody } = validated(rising);
    assert.ok(openValidator);
    await assert.rejects(runs.train('refused', nobody), (error) => {
      return error instanceof BantamError && error.message.includes('"somewhere" cannot be read');
    });
    for (const validation of [
      { every: 0 },
      { every: 1.5 },
      { patience: -1 },
      { patience: 1.5 },
      { data: '', patience: 2 },
      { data: '', metric: 'acc1' },
    ]) {
      await assert.rejects(
        runs.train('refused', validated(rising, validation)),
        (error) => error instanceof UsageError && error.message.includes("'validation."),
        JSON.stringify(validation),
      );
    }
    assert.equal(existsSync(runs.path('refused')), false);
  });
});
