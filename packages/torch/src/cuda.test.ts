/** Sentences on CUDA, with a driver and a libtorch for CUDA that only answer questions. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { CudaFacts, CudaProblem } from './cuda.js';

const index = new URL('./index.js', import.meta.url).href;

/** A number of the environment. */
const answer = (name: string) => `atoi(getenv("FAKE_${name}"))`;

const driverSource = `
  #include <stdlib.h>
  #include <string.h>
  int cuInit(unsigned flags) { return flags == 0 ? ${answer('ERROR')} : 1; }
  int cuDriverGetVersion(int* version) { *version = ${answer('DRIVER')}; return 0; }
  int cuDeviceGetCount(int* count) { *count = ${answer('COUNT')}; return 0; }
  int cuDeviceGet(int* device, int index) { *device = 40 + index; return 0; }
  int cuDeviceGetName(char* name, int size, int device) {
    strncpy(name, device == 40 ? "First GPU" : "Second GPU", size);
    return 0;
  }
  int cuDeviceGetAttribute(int* value, int attribute, int device) {
    *value = attribute == 75 ? 8 : attribute == 76 ? device - 31 : -1;
    return 0;
  }
  int cuDeviceTotalMem_v2(size_t* bytes, int device) { *bytes = device * 1000000000UL; return 0; }
`;

const libtorchSource = `
  #include <stdlib.h>
  int cudaRuntimeGetVersion(int* version) { *version = ${answer('LIBRARIES')}; return 0; }
`;

describe(
  'cudaFacts',
  { skip: process.platform === 'linux' ? false : 'NVIDIA is for Linux' },
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'bantam-cuda-'));
    const both = join(folder, 'both');
    const driverAlone = join(folder, 'driver');
    const broken = join(folder, 'broken');

    const compile = (source: string, library: string, ...more: string[]): void => {
      const file = join(folder, 'source.c');
      writeFileSync(file, source);
      const compiler = process.env.CC ?? 'cc';
      const args = ['-shared', '-fPIC', file, '-o', library, ...more];
      const { status, stderr } = spawnSync(compiler, args, { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
    };

    before(() => {
      for (const name of [both, driverAlone, broken]) {
        mkdirSync(name);
        compile(driverSource, join(name, 'libcuda.so.1'));
      }
      compile(libtorchSource, join(both, 'libtorch_cuda.so'));
      compile('int part;', join(folder, 'libgone.so.7'), '-Wl,-soname,libgone.so.7');
      const needs = ['-Wl,--no-as-needed', join(folder, 'libgone.so.7')];
      compile(libtorchSource, join(broken, 'libtorch_cuda.so'), ...needs);
      rmSync(join(folder, 'libgone.so.7'));
    });
    after(() => {
      rmSync(folder, { recursive: true });
    });

    /** The facts, and the refusal of the device, in a process that finds these libraries. */
    function ask(libraries: string, answers: Readonly<Record<string, string | number>> = {}) {
      const script = `
      const { cudaFacts, prepareDevice, resolveDevice, unusableGpus } = await import('${index}');
      let refusal = '';
      try { prepareDevice('cuda'); } catch (error) { refusal = error.message; }
      const [facts, auto] = [cudaFacts(), resolveDevice('auto')];
      console.log(JSON.stringify({ facts, refusal, auto, unusable: unusableGpus() }));`;
      const { stdout, stderr } = spawnSync(
        process.execPath,
        ['--input-type=module', '--eval', script],
        {
          encoding: 'utf8',
          env: {
            ...process.env,
            LD_LIBRARY_PATH: libraries,
            FAKE_DRIVER: '13000',
            FAKE_LIBRARIES: '13000',
            FAKE_ERROR: '0',
            FAKE_COUNT: '2',
            ...Object.fromEntries(
              Object.entries(answers).map(([name, value]) => [name, `${value}`]),
            ),
          },
        },
      );
      assert.notEqual(stdout, '', stderr);
      return JSON.parse(stdout) as {
        facts: CudaFacts;
        refusal: string;
        auto: string;
        unusable: CudaProblem | null;
      };
    }

    it('names the GPUs, and says what is missing for them', () => {
      const { facts, refusal, auto, unusable } = ask(driverAlone);
      assert.equal(facts.driver, '13.0');
      assert.deepEqual(facts.gpus, [
        { name: 'First GPU', capability: '8.9', bytes: 40e9 },
        { name: 'Second GPU', capability: '8.10', bytes: 41e9 },
      ]);
      assert.equal(facts.libraries, null);
      assert.equal(
        refusal,
        `Device 'cuda' cannot be used: libtorch's CUDA part is not installed; choose 'cpu', or get it with "BANTAM_CUDA=1 npx bantam setup".`,
      );
      assert.equal(auto, 'cpu');
      assert.equal(
        unusable?.what,
        "First GPU, Second GPU cannot be used: libtorch's CUDA part is not installed",
      );
    });

    it('names a library that CUDA needs and does not find', () => {
      const { facts } = ask(broken);
      assert.match(
        facts.problem?.what ?? '',
        /^libtorch's CUDA part does not load \(libgone\.so\.7: cannot open/,
      );
    });

    it('refuses a driver of an older major version than libtorch', () => {
      const { facts } = ask(both, { FAKE_DRIVER: 12090 });
      assert.equal(
        facts.problem?.what,
        'the NVIDIA driver knows CUDA 12.9, and libtorch needs 13.0',
      );
      assert.equal(facts.libraries, '13.0');
      const { facts: newer } = ask(both, { FAKE_LIBRARIES: 12060 });
      assert.doesNotMatch(newer.problem?.what ?? '', /knows CUDA/);
    });

    it('says why the driver does not start', () => {
      const problem = (error: number) => ask(both, { FAKE_ERROR: error }).facts.problem?.what;
      assert.match(problem(100) ?? '', /no GPU is visible to it$/);
      assert.match(problem(803) ?? '', /different versions; restart the machine$/);
      assert.match(problem(999) ?? '', /error 999$/);
      assert.match(ask(both, { FAKE_COUNT: 0 }).facts.problem?.what ?? '', /no GPU is visible/);
    });

    it('leaves the last word to libtorch', () => {
      const { facts, refusal } = ask(both);
      assert.equal(facts.problem?.what, 'libtorch finds no CUDA device');
      assert.match(refusal, /libtorch finds no CUDA device; choose 'cpu', or see what/);
    });

    it('leaves CUDA out if BANTAM_CUDA is 0', () => {
      const { facts, unusable } = ask(broken, { BANTAM_CUDA: 0 });
      assert.equal(facts.problem?.what, 'BANTAM_CUDA is 0');
      assert.equal(unusable, null);
      assert.equal(facts.gpus.length, 2);
    });

    it('says that there is no driver', () => {
      const { facts, unusable } = ask('/nonexistent');
      // A machine with a driver has one all the same.
      if (facts.driver !== null) return;
      assert.equal(facts.problem?.what, 'there is no NVIDIA driver');
      assert.equal(unusable, null);
    });
  },
);
