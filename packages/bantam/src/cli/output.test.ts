import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatDuration, formatTable } from './output.js';

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

describe('formatDuration', () => {
  it('has the two largest units', () => {
    const values = [0, 59.4, 59.6, 245, 7380, Infinity];
    assert.deepEqual(values.map(formatDuration), ['0s', '59s', '1m 00s', '4m 05s', '2h 03m', '?']);
  });
});
