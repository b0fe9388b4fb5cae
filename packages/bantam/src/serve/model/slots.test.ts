import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RequestError } from '../http/request-error.js';
import { Slots } from './slots.js';

describe('Slots', () => {
  it('refuses with 429 what does not fit, and has room again once items are done', () => {
    const slots = new Slots(10);
    const release = slots.take(8);
    assert.throws(
      () => slots.take(3),
      (error) =>
        error instanceof RequestError &&
        error.status === 429 &&
        error.details.code === 'queue_full' &&
        (error.details.retryAfter ?? 0) >= 1,
    );
    assert.equal(slots.taken, 8);
    slots.take(2)(2);
    release(8);
    release(8);
    assert.equal(slots.taken, 0);
    assert.doesNotThrow(() => slots.take(10));
  });

  it('tells when to try again by the rate of late', (context) => {
    let now = 0;
    context.mock.method(performance, 'now', () => now);
    const slots = new Slots(100);
    for (let second = 1; second <= 40; second++) {
      const release = slots.take(5);
      now = second * 1000;
      release(5);
    }
    slots.take(100);
    const refused = (): number => {
      try {
        slots.take(40);
      } catch (error) {
        if (error instanceof RequestError) return error.details.retryAfter ?? 0;
      }
      return assert.fail('not refused');
    };
    // 40 items at 5 a second.
    assert.equal(refused(), 9);
  });
});
