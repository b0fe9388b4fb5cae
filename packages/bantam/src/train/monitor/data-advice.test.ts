import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { passesAdvice } from './data-advice.js';

describe('passesAdvice', () => {
  it('counts passes over all records, not epochs of one from each group', () => {
    const groups = Int32Array.from({ length: 20 }, (_, record) => record % 5);
    const source = { size: 20, grouping: { groups, count: 5 } };
    assert.equal(passesAdvice(source, 15), undefined);
    assert.match(passesAdvice(source, 16) ?? '', /^After 4 passes over the 20 samples/);
    assert.match(passesAdvice({ size: 20 }, 4) ?? '', /^After 4 passes over the 20 samples/);
  });
});
