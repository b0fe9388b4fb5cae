import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { BantamError, UsageError } from '../base/errors.js';
import { explain } from './failure.js';

describe('explain', () => {
  it('lets errors for users speak for themselves', () => {
    assert.deepEqual(explain(new BantamError('No.')), { message: 'No.', exitCode: 1 });
    assert.deepEqual(explain(new UsageError('No.')), { message: 'No.', exitCode: 2 });
  });

  it('names the path of a system error', () => {
    try {
      readFileSync('/nowhere/file');
      assert.fail();
    } catch (error) {
      const message = '/nowhere/file: no such file or folder (ENOENT in open).';
      assert.deepEqual(explain(error), { message, exitCode: 1 });
    }
  });

  it('makes one sentence of anything else', () => {
    const { message, exitCode } = explain(new TypeError('x is not a function\nat y'));
    assert.equal(message, 'Unexpected: x is not a function; run again with --debug for details.');
    assert.equal(exitCode, 1);
  });
});
