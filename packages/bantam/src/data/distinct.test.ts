import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DistinctCounter } from './distinct.js';

describe('DistinctCounter', () => {
  it('counts exactly up to its limit, repeated texts once', () => {
    const counter = new DistinctCounter();
    for (let i = 0; i < 200_000; i++) counter.add(`photos/${i % 70_001}.jpg`);
    assert.equal(counter.count, 70_001);
    assert.equal(counter.isExact, true);
  });

  it('estimates beyond it within three standard errors', () => {
    const most = 4096;
    const counter = new DistinctCounter(most);
    for (let i = 0; i < 300_000; i++) counter.add(`photos/${i % 250_000}.jpg`);
    assert.equal(counter.isExact, false);
    const error = Math.abs(counter.count / 250_000 - 1);
    assert.ok(error < (3 * 1.2) / Math.sqrt(most / 2), `${error}`);
  });

  it('tells texts apart that differ in one character anywhere', () => {
    const counter = new DistinctCounter();
    const base = 'a'.repeat(40);
    for (let i = 0; i < base.length; i++) {
      for (let code = 98; code < 123; code++) {
        counter.add(base.slice(0, i) + String.fromCharCode(code) + base.slice(i + 1));
      }
    }
    assert.equal(counter.count, 40 * 25);
  });
});
