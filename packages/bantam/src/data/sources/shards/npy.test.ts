import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { BantamError } from '../../../base/errors.js';
import { readNpy } from './npy.js';

interface Case {
  readonly file: string;
  readonly shape?: readonly number[];
  readonly values?: readonly (number | boolean | string)[];
  readonly error?: string;
}

const url = new URL('../../../../fixtures/data/npy.json', import.meta.url);
const cases = Object.entries(JSON.parse(readFileSync(url, 'utf8')) as Record<string, Case>);
const numbers = Buffer.from(
  cases.find(([name]) => name === 'numbers <i4')?.[1].file ?? '',
  'base64',
);

function refused(bytes: Uint8Array, message: RegExp): void {
  assert.throws(
    () => readNpy(bytes),
    (error) => error instanceof BantamError && message.test(error.message),
  );
}

describe('readNpy', () => {
  for (const [name, { file, shape, values, error }] of cases) {
    if (error !== undefined) {
      it(`refuses ${name}`, () => {
        refused(Buffer.from(file, 'base64'), new RegExp(error));
      });
      continue;
    }
    it(`reads what numpy wrote: ${name}`, () => {
      const array = readNpy(Buffer.from(file, 'base64'));
      assert.deepEqual(array.shape, shape);
      // JSON has no infinity, and no whole numbers beyond 2⁵³.
      const own = array.values.map((value, i) => {
        const wanted = values?.[i];
        if (typeof value === 'bigint') return String(value);
        return wanted === 'inf' ? String(value).slice(0, 3).toLowerCase() : value;
      });
      assert.deepEqual(own, values);
    });
  }

  it('says of a damaged file what is wrong with it', () => {
    refused(Buffer.from('no array at all'), /it is no \.npy file/);
    refused(numbers.subarray(0, 9), /it is no \.npy file/);
    refused(numbers.subarray(0, 60), /it ends within its header/);
    refused(numbers.subarray(0, numbers.length - 1), /it ends after 23 of 24 bytes of its values/);
    const version = Buffer.from(numbers);
    version[6] = 9;
    refused(version, /version 9/);
    const text = numbers.toString('latin1');
    const changed = (from: string, to: string): Buffer => {
      assert.ok(text.includes(from), from);
      return Buffer.from(text.replace(from, to.padEnd(from.length)), 'latin1');
    };
    refused(changed("'shape'", "'shope'"), /its header is damaged/);
    refused(changed('(2, 3)', '(9999999999999999, 3)'), /its header is damaged|ends within/);
    refused(changed('(2, 3)', '(-1, 3)'), /its header is damaged/);
    refused(changed("'<i4'", "'<i9'"), /its type "<i9" is not read/);
  });

  it('stops at the end of any file that is cut off or has a changed byte', () => {
    for (let length = 0; length < numbers.length; length++)
      refused(numbers.subarray(0, length), /./);
    for (let position = 0; position < numbers.length; position++) {
      const bytes = Buffer.from(numbers);
      bytes[position] = (bytes[position] ?? 0) ^ 0xff;
      try {
        readNpy(bytes);
      } catch (error) {
        assert.ok(error instanceof BantamError, String(error));
      }
    }
  });
});
