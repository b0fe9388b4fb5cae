import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseCsv } from './csv.js';

describe('parseCsv', () => {
  const cases: [string, string, string[][]][] = [
    [
      'plain rows',
      'a,b\n1,2\n',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'Windows line ends and a byte-order mark',
      '\ufeffa,b\r\n1,2\r\n',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    [
      'no line end at the end',
      'a,b\n1,2',
      [
        ['a', 'b'],
        ['1', '2'],
      ],
    ],
    ['separators and line breaks in quotes', '"a,b","c\nd"\n', [['a,b', 'c\nd']]],
    ['doubled quotes', '"say ""hi""",x', [['say "hi"', 'x']]],
    ['quotes within a field', 'a "b" c,d', [['a "b" c', 'd']]],
    [
      'empty fields',
      ',a,\n"",b,',
      [
        ['', 'a', ''],
        ['', 'b', ''],
      ],
    ],
    ['empty lines', 'a\n\n\nb\n', [['a'], ['b']]],
  ];
  for (const [name, text, rows] of cases) {
    it(`reads ${name}`, () => {
      assert.deepEqual(parseCsv(text, ','), rows);
    });
  }

  it('takes another separator', () => {
    assert.deepEqual(parseCsv('a\tb,c', '\t'), [['a', 'b,c']]);
  });
});
