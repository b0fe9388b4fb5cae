import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { targets } from './targets.js';

const fuzzer = fileURLToPath(new URL('main.js', import.meta.url));
const planted = fileURLToPath(new URL('planted-targets.js', import.meta.url));

let out: string;

before(async () => {
  out = await mkdtemp(join(tmpdir(), 'bantam-fuzz-test-'));
});

after(async () => {
  await rm(out, { recursive: true });
});

function fuzz(...args: string[]): Promise<{ status: number; stdout: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [fuzzer, ...args, '--out', out], (error, stdout) => {
      resolve({ status: error === null ? 0 : Number(error.code), stdout });
    });
  });
}

describe('the fuzzer', () => {
  for (const [name, reason] of [
    ['foreign', 'TypeError: not allowed'],
    ['crash', 'signal SIGABRT'],
    ['hang', 'It took more than 1 s.'],
    ['memory', /It took 1[0-9]{2} MiB/],
  ] as const) {
    it(`finds and keeps an input that ends in: ${name}`, async () => {
      const limits = ['--limit', name === 'hang' ? '1' : '30', '--memory', '100'];
      const args = ['--targets', planted, '--count', '40', ...limits];
      const { status, stdout } = await fuzz(name, ...args);
      assert.equal(status, 1);
      assert.match(stdout, reason instanceof RegExp ? reason : new RegExp(reason));
      const [file] = (await readdir(out)).filter((each) => each.startsWith(name));
      const input = join(out, file ?? assert.fail('no input was kept'));
      assert.deepEqual(await readFile(input), Buffer.from([7]));
      assert.match(stdout, new RegExp(`npm run fuzz -- ${name} --input .*${name}-1-\\d+`));
    });
  }

  it('runs a kept input again', async () => {
    const [file] = (await readdir(out)).filter((each) => each.startsWith('foreign'));
    const again = ['foreign', '--targets', planted, '--input', join(out, file ?? '')];
    const { status, stdout } = await fuzz(...again);
    assert.equal(status, 3);
    assert.match(stdout, /TypeError: not allowed/);
  });

  it('says how many inputs were read and refused where all is well', async () => {
    const { status, stdout } = await fuzz('whole', '--targets', planted, '--count', '100');
    assert.equal(status, 0);
    const [, read, refused] = /(\d+) were read, (\d+) refused/.exec(stdout) ?? [];
    assert.equal(Number(read) + Number(refused), 100);
    assert.ok(Number(refused) > 0);
  });

  for (const { name } of targets) {
    it(`finds nothing in some inputs of ${name}`, async () => {
      const { status, stdout } = await fuzz(name, '--count', '60', '--limit', '60');
      assert.equal(status, 0, stdout);
    });
  }
});
