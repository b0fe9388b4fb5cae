import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as v from 'valibot';
import { trainSchema, type TrainSettings } from '../config/settings.js';
import { secondsOf, smallerSteps } from './measure-time.js';

describe('secondsOf', () => {
  /** Measures a·n + b, and keeps which sizes it was asked for. */
  function line(a: number, b: number) {
    const asked: number[] = [];
    const measure = (size: number) => {
      asked.push(size);
      return Promise.resolve(a * size + b);
    };
    return { asked, measure };
  }

  it('measures the last size itself where that is quick', async () => {
    const { asked, measure } = line(0.01, 0.5);
    const found = await secondsOf([4, 16, 64, 256], measure);
    assert.deepEqual(found, { seconds: 0.01 * 256 + 0.5, measuredOn: 256 });
    // A line that goes through zero and 0.54 s for 4 would be at 35 s.
    assert.deepEqual(asked, [4, 16, 256]);
    const { asked: few, measure: quick } = line(0.01, 0.01);
    await secondsOf([4, 16, 64, 256], quick);
    assert.deepEqual(few, [4, 256]);
  });

  it('continues the line of the sizes before one that would take longer than five seconds', async () => {
    const { asked, measure } = line(0.125, 2);
    const { seconds, measuredOn } = await secondsOf([4, 8, 32, 128, 1000], measure);
    assert.deepEqual(asked, [4, 8]);
    assert.equal(measuredOn, 8);
    assert.equal(seconds, 127);
  });

  it('goes by one size alone where that takes longer, and never below what it measured', async () => {
    assert.deepEqual(await secondsOf([4, 16], line(0, 6).measure), { seconds: 24, measuredOn: 4 });
    const falling = await secondsOf([4, 16, 64], (size) => Promise.resolve(size === 4 ? 1 : 0.5));
    assert.deepEqual(falling, { seconds: 0.5, measuredOn: 64 });
  });
});

describe('smallerSteps', () => {
  const steps = (changes: Partial<TrainSettings>) =>
    smallerSteps({ ...v.parse(trainSchema, {}), ...changes }).map(({ samples, train }) => {
      const { batchSize, microBatch, accumulate } = train;
      assert.equal(samples, batchSize * accumulate);
      return [batchSize, microBatch, accumulate];
    });

  it('ends on the step itself', () => {
    assert.deepEqual(steps({ batchSize: 96 }), [[4, 0, 1], [8, 0, 1], [32, 0, 1], [96, 0, 1]]); // prettier-ignore
    assert.deepEqual(steps({ batchSize: 4 }), [[4, 0, 1]]);
  });

  it('has at least two micro-batches if the step has micro-batches', () => {
    assert.deepEqual(steps({ batchSize: 96, microBatch: 12 }), [[4, 2, 1], [8, 4, 1], [24, 12, 1], [96, 12, 1]]); // prettier-ignore
    assert.deepEqual(steps({ batchSize: 6, microBatch: 1 }), [[4, 1, 1], [6, 1, 1]]); // prettier-ignore
  });

  it('has fewer batches where gradients of several are added', () => {
    assert.deepEqual(steps({ batchSize: 8, accumulate: 10 }), [[4, 0, 1], [8, 0, 1], [8, 0, 4], [8, 0, 10]]); // prettier-ignore
  });
});
