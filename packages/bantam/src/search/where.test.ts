import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { zeros } from '@bantam/torch';
import { recordStore } from './store.js';
import { parseCondition, RowFilter } from './where.js';

const records = [
  { key: 'a', label: 'shoe', caption: 'Red shoe', meta: { price: '20', colour: 'Red' } },
  { key: 'b', label: 'shoe', caption: 'blue shoe', meta: { price: '5.5', colour: 'Blue' } },
  { key: 'c', caption: 'a hat', meta: { price: 'unknown', colour: 'Red' } },
  { key: 'd', meta: { price: '100' } },
];
const filter = new RowFilter(recordStore(records, zeros([4, 2]), { model: {} }));
const keys = (...texts: string[]): string =>
  Array.from(filter.rows(texts.map(parseCondition)), (row) => records[row]?.key).join('');

describe('RowFilter', () => {
  it('compares text for equality, alternatives, and parts of it', () => {
    assert.equal(keys('colour=Red'), 'ac');
    assert.equal(keys('colour=Red|Blue'), 'abc');
    assert.equal(keys('colour!=Red'), 'bd');
    assert.equal(keys('caption~SHOE'), 'ab');
    assert.equal(keys('label=shoe'), 'ab');
    assert.equal(keys('key=d'), 'd');
    assert.equal(keys('colour=red'), '');
  });

  it('compares composed and decomposed accents alike', () => {
    const own = { key: 'e', caption: 'Cafe\u0301 au lait', meta: {} };
    const one = new RowFilter(recordStore([own], zeros([1, 2]), { model: {} }));
    const count = (text: string): number => one.rows([parseCondition(text)]).length;
    assert.equal(count('caption=Caf\u00e9 au lait'), 1);
    assert.equal(count('caption~caf\u00e9'), 1);
    assert.equal(count('caption!=Caf\u00e9 au lait'), 0);
    assert.equal(count('caption~cafe au'), 0);
  });

  it('compares numbers, and leaves out what is none', () => {
    assert.equal(keys('price<20'), 'b');
    assert.equal(keys('price <= 20'), 'ab');
    assert.equal(keys('price>5.5'), 'ad');
    assert.equal(keys('price>=5.5'), 'abd');
  });

  it('needs all of several conditions', () => {
    assert.equal(keys('colour=Red', 'price>10'), 'a');
  });

  it('names the columns for one that is not there, and the number that is missing', () => {
    assert.throws(() => keys('color=Red'), /no column "color" \(did you mean "colour"\?\)/);
    assert.throws(() => keys('colour<3'), /"colour" has no numbers, such as "Red"/);
    assert.throws(() => keys('price<cheap'), { name: 'UsageError', message: /write a number/ });
    assert.throws(() => keys('price'), { name: 'UsageError', message: /COLUMN=VALUE/ });
  });
});
