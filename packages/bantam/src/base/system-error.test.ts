import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'node:test';
import { causeOf, systemMeaning, writeRefusal } from './system-error.js';

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

  it('is why a path cannot be written, and no other failure', () => {
    const file = fileURLToPath(import.meta.url);
    const below = failure(() => {
      mkdirSync(join(file, 'folder'));
    });
    assert.equal(writeRefusal(below), 'a part of the path is a file, not a folder');
    assert.equal(
      writeRefusal(
        failure(() => {
          mkdirSync(file);
        }),
      ),
      'a file of this name exists',
    );
    assert.equal(writeRefusal(failure(() => readFileSync('/nowhere'))), undefined);
    assert.equal(writeRefusal(new Error('Cut off.')), undefined);
  });

  it('is the message of any other error', () => {
    assert.equal(causeOf(new Error('Cut off.')), 'Cut off.');
    assert.equal(causeOf('text'), 'text');
    assert.equal(systemMeaning(new Error('Cut off.')), undefined);
  });
});
