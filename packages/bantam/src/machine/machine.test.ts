import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'node:test';
import { inspectMachine } from './machine.js';
import { problems, rateOf, verdicts } from './verdicts.js';

const machine = await inspectMachine({
  seconds: 0.01,
  // A folder cannot be made below a file.
  cacheDir: fileURLToPath(new URL('cache', `${import.meta.url}/`)),
});

describe('inspectMachine', () => {
  it('measures a matrix product for each precision', () => {
    assert.ok(Number(rateOf(machine, 'float32')) > 0.1);
    assert.ok(Number(rateOf(machine, 'bfloat16')) > 0.1);
  });

  it('reports a cache folder that cannot be made', () => {
    assert.ok(machine.cache.freeBytes > 0);
    const [problem] = machine.problems.filter(({ what }) => what.includes('cache folder'));
    assert.match(problem?.remedy ?? '', /BANTAM_CACHE/);
  });
});

describe('problems', () => {
  const cache = { directory: '/cache', freeBytes: 1e12, writable: true };
  const sound = { ...machine, cache, memory: { totalBytes: 16e9, freeBytes: 8e9 } };
  const words = (changed: object) =>
    problems({ ...sound, ...changed })
      .map(({ what }) => what)
      .join();

  it('names what is short', () => {
    assert.match(words({ memory: { totalBytes: 16e9, freeBytes: 1e9 } }), /1\.0 GB of memory/);
    assert.match(words({ cache: { ...cache, freeBytes: 5e8 } }), /0\.5 GB are free on the disk/);
    assert.match(words({ engineError: 'No addon.' }), /libtorch does not load: No addon/);
    assert.doesNotMatch(words({}), /GB/);
  });
});

describe('verdicts', () => {
  it('compares bf16 to fp32', () => {
    const { engine } = machine;
    assert.ok(engine);
    const rates = [
      { dtype: 'float32' as const, size: 1, gflops: 100 },
      { dtype: 'bfloat16' as const, size: 1, gflops: 610 },
    ];
    assert.match(verdicts({ engine: { ...engine, rates } })[0] ?? '', /6\.1 times as fast as fp32/);
  });
});
