import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { causeOf, systemMeaning } from './system-error.js';

function failure(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('causeOf', () => {
  it('says in words why the system refused', () => {
    assert.equal(causeOf(failure(() => readFileSync('/nowhere'))), 'no such file or folder');
    assert.equal(causeOf(failure(() => readFileSync('/'))), 'it is a folder, not a file');
  });

  it('is the message of any other error', () => {
    assert.equal(causeOf(new Error('Cut off.')), 'Cut off.');
    assert.equal(causeOf('text'), 'text');
    assert.equal(systemMeaning(new Error('Cut off.')), undefined);
  });
});
