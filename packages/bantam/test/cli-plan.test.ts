import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { bantam, expectFailure } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
const options = { cwd, env: { OMP_NUM_THREADS: '1' } };
const training = ['train', ...tinyModel, '--data', 'folder:shapes', '--out', 'run'];
const once = [...training, '--budget', '24samples', '--set', 'train.batchSize=12'];

before(() => drawShapes(join(cwd, 'shapes'), { each: 2 }));
after(() => rm(cwd, { recursive: true }));

describe('the memory of a training', () => {
  it('is planned part by part on demand, and nothing is written', async () => {
    const { status, stdout } = await bantam([...once, '--plan'], options);
    assert.equal(status, 0);
    assert.match(stdout, /^gradients of those that learn +[\d.]+ [kM]B$/m);
    assert.match(stdout, /^in all +\d+(?:\.\d)? MB$/m);
    assert.equal(existsSync(join(cwd, 'run')), false);
  });

  it('is refused in one sentence where it is more than there may be', async () => {
    await expectFailure([...once, '--set', 'train.memoryLimit=0.05'], {
      status: 1,
      message:
        /would take about \d\.\d GB of memory, but train\.memoryLimit allows 0\.1 GB; not even pieces of one sample would fit/,
      ...options,
    });
    await expectFailure([...once, '--set', 'train.memoryLimit=-1'], {
      status: 2,
      message: /'train\.memoryLimit' must be at least 0, not -1/,
      ...options,
    });
    assert.equal(existsSync(join(cwd, 'run')), false);
  });
});
