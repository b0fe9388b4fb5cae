import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseRow } from './csv.js';

describe('parseRow', () => {
  const cases: [name: string, text: string, cells: string[]][] = [
    ['plain cells', '1,2', ['1', '2']],
    ['empty cells', ',a,,', ['', 'a', '', '']],
    ['separators and line breaks in quotes', '"a,b","c\nd"', ['a,b', 'c\nd']],
    ['doubled quotes', '"say ""hi""",x', ['say "hi"', 'x']],
    ['an empty quoted cell', '"",b', ['', 'b']],
    ['spaces around quotes', 'a, "b, c" ,d', ['a', 'b, c', 'd']],
    ['quotes within a cell', 'a "b" c,d', ['a "b" c', 'd']],
    ['text behind a closing quote', 'a,"Vintage" lamp, red', ['a', '"Vintage" lamp', ' red']],
    ['a quote that never closes', 'a,"Vintage lamp,b', ['a', '"Vintage lamp', 'b']],
    ['inch marks', 'a,12" lamp,13"', ['a', '12" lamp', '13"']],
  ];
  for (const [name, text, cells] of cases) {
    it(`reads ${name}`, () => {
      assert.deepEqual(parseRow(text, ',').cells, cells);
    });
  }

  it('splits at another separator only', () => {
    assert.deepEqual(parseRow('a\tb,c', '\t').cells, ['a', 'b,c']);
  });

  it('reads quotes as text if asked to', () => {
    assert.deepEqual(parseRow('"a,b"', ',', false).cells, ['"a', 'b"']);
  });

  it('tells an open quote from a stray one', () => {
    assert.equal(parseRow('a,"b', ',').open, 1);
    assert.deepEqual(parseRow('a,"b" c', ','), {
      cells: ['a', '"b" c'],
      starts: [0, 2],
      open: -1,
      strays: [1],
    });
  });
});
