import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { describe, it } from 'node:test';
import { coresOfOthers, CpuLoad, isBusy } from './cpu-load.js';

describe('coresOfOthers', () => {
  it('is the CPU time of all processes without this one, by the clock', () => {
    const start = { all: 100, own: 10, clock: 1000 };
    assert.equal(coresOfOthers(start, { all: 106, own: 12, clock: 1002 }), 2);
    assert.equal(coresOfOthers(start, { all: 100, own: 10.01, clock: 1002 }), 0);
  });
});

describe('isBusy', () => {
  it('begins at a quarter of the cores', () => {
    assert.equal(isBusy(0), false);
    assert.equal(isBusy(0.24 * cpus().length), false);
    assert.equal(isBusy(0.25 * cpus().length), true);
  });
});

describe('CpuLoad', () => {
  it('counts a process that computes', async () => {
    const other = spawn(process.execPath, ['-e', 'console.log(); for (;;);'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    try {
      await once(other.stdout, 'data');
      const others = await new CpuLoad().others();
      // On a machine that is busy with much else it gets its part of a core.
      assert.ok(others > 0.05, `${others} cores`);
      assert.ok(others <= 1.1 * cpus().length, `${others} cores`);
    } finally {
      other.kill();
    }
  });
});
