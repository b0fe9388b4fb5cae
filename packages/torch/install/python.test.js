import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkPip, findPython, wheelOptions } from './python.js';

describe('wheelOptions', () => {
  it('lets a Python that has wheels take its own', () => {
    assert.deepEqual(wheelOptions(10), []);
    assert.deepEqual(wheelOptions(14), []);
  });

  it('lets older and newer ones take the nearest wheel', () => {
    assert.deepEqual(wheelOptions(9), ['--only-binary=:all:', '--python-version', '3.10']);
    assert.deepEqual(wheelOptions(15), ['--only-binary=:all:', '--python-version', '3.14']);
  });
});

describe('checkPip', () => {
  it('accepts current versions', () => {
    checkPip('python3', { code: 0, output: 'pip 23.2.1 from /usr/lib (python 3.11)\n' });
    checkPip('python3', { code: 0, output: 'pip 20.3.4 from /usr/lib (python 3.9)\n' });
  });

  it('refuses an old or missing pip', () => {
    const old = { code: 0, output: 'pip 20.0.2 from /usr/lib (python 3.8)\n' };
    assert.throws(() => checkPip('python3', old), /pip 20\.0 is too old/);
    const missing = { code: 1, output: '/usr/bin/python3: No module named pip\n' };
    assert.throws(() => checkPip('python3', missing), /pip is missing/);
  });
});

describe('findPython', () => {
  it('names what is missing and the remedy', async () => {
    await assert.rejects(findPython({ PATH: '/nonexistent' }), /Python 3 is missing.*install/);
  });
});
