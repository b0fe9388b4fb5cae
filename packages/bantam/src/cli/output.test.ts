import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatBytes, formatDuration, formatTable } from './output.js';

describe('formatTable', () => {
  it('aligns columns', () => {
    const rows = [
      ['style', 'R@1'],
      ['noto', '9.4'],
      ['openmoji', '13.7'],
    ];
    assert.equal(
      formatTable(rows, { right: [1] }),
      'style      R@1\nnoto       9.4\nopenmoji  13.7',
    );
  });
});

describe('formatBytes', () => {
  it('has at most one decimal', () => {
    const values = [0, 999, 1000, 1_234_567, 999e6, 3.2e12, 5e16];
    assert.deepEqual(values.map(formatBytes), [
      '0 B',
      '999 B',
      '1.0 kB',
      '1.2 MB',
      '999 MB',
      '3.2 TB',
      '50000 TB',
    ]);
  });
});

describe('formatDuration', () => {
  it('has the two largest units', () => {
    const values = [0, 59.4, 59.6, 245, 7380, Infinity];
    assert.deepEqual(values.map(formatDuration), ['0s', '59s', '1m 00s', '4m 05s', '2h 03m', '?']);
  });
});
