import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeRecord } from './search.js';

const record = { key: 'a.jpg', caption: 'a red mug' };

describe('describeRecord', () => {
  it('takes no emoji from a column hexcode that holds colours', () => {
    for (const hexcode of ['ff8800ff', '#ff0000', 'FFFFFF']) {
      const meta = { hexcode };
      assert.deepEqual(describeRecord({ ...record, meta }), { caption: 'a red mug', meta });
    }
  });

  it('takes no emoji from a table with all columns of the emoji data', () => {
    for (const hexcode of ['#e0ac69', 'ff0000', '0f5132', 'FF0000', '']) {
      const meta = { hexcode, concept: 'matte', skin: 'light' };
      assert.deepEqual(describeRecord({ ...record, meta }), { caption: 'a red mug', meta });
    }
  });

  it('shows the emoji of a record of the emoji data', () => {
    const meta = { hexcode: '1F44B-1F3FD', concept: '1F44B', skin: 'medium' };
    const shown = { caption: 'a red mug', emoji: '👋🏽', meta };
    assert.deepEqual(describeRecord({ ...record, meta }), shown);
  });

  it('leaves out what the index does not know', () => {
    assert.deepEqual(describeRecord({ key: 'a.jpg' }), {});
    assert.deepEqual(describeRecord(undefined), {});
  });
});
