import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpus } from 'node:os';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
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

/** Computes for 0.6 s, and prints the CPU seconds that it got. */
const program = `
const start = process.cpuUsage();
for (const end = Date.now() + 600; Date.now() < end; );
console.log(process.cpuUsage(start).user / 1e6);
`;

describe('CpuLoad', () => {
  it('counts the CPU time of a process that computes', async () => {
    const load = new CpuLoad();
    const began = performance.now();
    const { stdout } = await promisify(execFile)(process.execPath, ['-e', program]);
    const others = await load.others();
    const seconds = (performance.now() - began) / 1000;
    assert.ok(others * seconds >= 0.9 * Number(stdout) - 0.05, `${others} cores, ${stdout} s`);
    assert.ok(others <= 1.1 * cpus().length, `${others} cores`);
  });
});
