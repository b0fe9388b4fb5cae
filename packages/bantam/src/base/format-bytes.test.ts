import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatBytes } from './format-bytes.js';

describe('formatBytes', () => {
  it('has at most one decimal, and two digits of small amounts', () => {
    const values = [0, 999, 1000, 1_234_567, 50e6, 999e6, 3.2e12, 5e16];
    assert.deepEqual(values.map(formatBytes), [
      '0 B',
      '999 B',
      '1.0 kB',
      '1.2 MB',
      '50 MB',
      '999 MB',
      '3.2 TB',
      '50000 TB',
    ]);
  });
});
