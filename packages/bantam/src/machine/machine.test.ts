import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'node:test';
import { hasAvx512Bf16, type Device, type FloatDType } from '@bantam/torch';
import { inspectMachine, problems, rateOf, verdicts } from './machine.js';
import { measureMatrixRate } from './runtime.js';

const machine = await inspectMachine({
  seconds: 0.01,
  // The emulated device has the code's way of a GPU: work is queued, and waited for.
  devices: ['cpu', 'emulated'],
  // A folder cannot be made below a file.
  cacheDir: fileURLToPath(new URL('cache', `${import.meta.url}/`)),
});

describe('inspectMachine', () => {
  it('measures a matrix product for each precision', () => {
    assert.ok(Number(rateOf(machine, 'float32')) > 0.1);
    assert.ok(Number(rateOf(machine, 'bfloat16')) > 0.1);
  });

  it('measures other devices beside the CPU', () => {
    for (const dtype of ['float32', 'bfloat16'] as const) {
      assert.ok(Number(rateOf(machine, dtype, 'emulated')) > 0.01, dtype);
    }
  });

  it('reports a device that does not compute', async () => {
    const { runtime } = await inspectMachine({ seconds: 0.01, devices: ['emulated:7'] });
    assert.deepEqual(runtime?.rates, []);
    assert.match(runtime.failures[0]?.reason ?? '', /no device 'emulated:7'/);
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
    assert.match(words({ cache: { ...cache, freeBytes: 5e8 } }), /500 MB are free on the disk/);
    assert.match(words({ runtimeError: 'No addon.' }), /libtorch does not load: No addon$/);
    assert.doesNotMatch(words({}), /GB/);
  });

  it('names GPUs that cannot be used, and devices that do not compute', () => {
    const unusableGpus = { what: 'A GPU cannot be used: no libraries', remedy: 'get them' };
    assert.match(words({ runtime: { ...machine.runtime, unusableGpus } }), /no libraries/);
    const failures = [{ device: 'cuda:0', reason: 'no kernel image' }];
    assert.match(
      words({ runtime: { ...machine.runtime, failures } }),
      /cuda:0 does not compute: no kernel image/,
    );
  });

  it('names AMX that the process may not use, unless a limit excludes it', () => {
    const cpu = { ...machine.cpu, matrix: ['amx_bf16'] };
    const runtime = { ...machine.runtime, level: 'avx512_bf16', limit: undefined };
    assert.match(words({ cpu, runtime }), /AMX/);
    assert.doesNotMatch(words({ cpu, runtime: { ...runtime, level: 'amx' } }), /AMX/);
    assert.doesNotMatch(words({ cpu, runtime: { ...runtime, limit: 'avx2' } }), /AMX/);
  });
});

describe('measureMatrixRate', () => {
  it('takes smaller matrices where one product would take too long', async () => {
    const sizeOf = async (options: object): Promise<number> =>
      (await measureMatrixRate('float32', { seconds: 0, ...options })).size;
    assert.equal(await sizeOf({}), 256);
    assert.equal(await sizeOf({ size: 300 }), 300);
  });
});

describe('verdicts', () => {
  const { runtime } = machine;
  assert.ok(runtime);

  it('compares a GPU to the CPU', () => {
    const rate = (device: Device, gflops: number) =>
      ({ device, dtype: 'bfloat16', size: 1, gflops }) as const;
    const rates = [
      rate('cpu', 100),
      { ...rate('cpu', 100), dtype: 'float32' as const },
      rate('cuda:0', 9000),
    ];
    const devices: Device[] = ['cpu', 'cuda:0'];
    assert.match(
      verdicts({ runtime: { ...runtime, devices, rates } }).join(' '),
      /cuda:0, which multiplies bf16 matrices 90 times as fast as the CPU: training/,
    );
  });

  it('compares bf16 to fp32 and names the faster one', () => {
    const verdict = (bf16: number, precision: FloatDType) => {
      const rates = [
        { device: 'cpu' as const, dtype: 'float32' as const, size: 1, gflops: 100 },
        { device: 'cpu' as const, dtype: 'bfloat16' as const, size: 1, gflops: bf16 },
      ];
      return verdicts({ runtime: { ...runtime, rates, precision } }).join(' ');
    };
    assert.match(verdict(610, 'bfloat16'), /6\.1 times as fast as fp32 here: training takes bf16/);
    assert.match(verdict(610, 'float32'), /train with --precision bf16/);
    assert.match(verdict(50, 'bfloat16'), /0\.5 times .* train with --precision fp32/);
    assert.match(verdict(50, 'float32'), /training takes fp32/);
  });

  it('takes bf16 if the CPU has instructions for its products', () => {
    const { cpu } = machine;
    const vector = cpu.vector.includes('avx512_bf16');
    // The system's list of instructions, where it has one, beside what libtorch found.
    if (process.platform === 'linux' && process.arch === 'x64') {
      assert.equal(hasAvx512Bf16(), vector);
    }
    assert.equal(runtime.precision === 'bfloat16', runtime.level === 'amx' || vector);
  });
});
