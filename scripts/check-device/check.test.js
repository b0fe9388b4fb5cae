import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { root, runProgram } from './run-step.js';

const node = process.execPath;

/** @param {import('node:test').TestContext} t */
function temporaryFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-check-test-'));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** @param {string} out @param {string[]} flags */
function check(out, ...flags) {
  const script = join(root, 'scripts', 'check-device.sh');
  return runProgram(['bash', script, '--out', out, ...flags], { limit: 110 });
}

describe('runProgram', () => {
  it('ends a program that takes too long, with all that it started', async () => {
    const script = `
      require('node:child_process').spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)'], { stdio: 'inherit' });
      console.log('begun');
      setTimeout(() => {}, 60000);`;
    const { status, seconds, stdout, output } = await runProgram([node, '-e', script], {
      limit: 1,
    });
    assert.equal(status, 'timed out');
    assert.ok(seconds < 10, `${seconds} s`);
    assert.equal(stdout, 'begun\n');
    assert.equal(output, 'begun\n');
  });

  it('keeps what a failed program said, and survives one that does not start', async () => {
    const failed = await runProgram([node, '-e', 'console.error("no"); process.exit(3)'], {
      limit: 20,
    });
    assert.deepEqual([failed.status, failed.output], ['failed', 'no\n']);
    const absent = await runProgram(['/nonexistent/program'], { limit: 20 });
    assert.equal(absent.status, 'failed');
    assert.match(absent.output ?? '', /ENOENT/);
  });
});

describe('scripts/check-device.sh', () => {
  it('compares the emulated device with the CPU, and writes one file', async (t) => {
    const out = join(temporaryFolder(t), 'check.json');
    const steps = ['--steps', 'tests,parity,rates,memory,training'];
    const { status, stdout, output } = await check(
      out,
      '--short',
      '--device',
      'emulated',
      ...steps,
    );
    assert.equal(status, 'passed', output);
    assert.match(stdout, /^Every step passed, in \d+ s\. Everything is in .*check\.json\.\n$/);
    const report = JSON.parse(readFileSync(out, 'utf8'));
    assert.deepEqual([report.format, report.device, report.short], [1, 'emulated', true]);
    const { tests, parity, rates, memory, training } = report.steps;
    assert.deepEqual([tests.status, training.status], ['skipped', 'skipped']);
    assert.equal(parity.found.device, 'emulated:0');
    assert.equal(parity.found.presets.length, 2);
    for (const { features, gradients } of parity.found.presets) {
      assert.ok(features < 1e-4 && gradients < 5e-3, `${features} ${gradients}`);
    }
    assert.equal(parity.found.steps.steps, 5);
    assert.deepEqual(
      rates.figures.map((/** @type {{ name: string }} */ { name }) => name),
      ['train/ViT-Nano-16-64/fp32', 'image/ViT-Nano-16-64/fp32'],
    );
    assert.ok(rates.figures[0].bantam > 0 && rates.figures[0].peakBytes.bantam > 1e6);
    assert.ok(memory.found.ratio > 0.9 && memory.found.ratio < 1.3, memory.found.ratio);
  });

  it('records a step that fails and goes on to the next', async (t) => {
    const out = join(temporaryFolder(t), 'check.json');
    const flags = ['--short', '--device', 'emulated:7', '--steps', 'parity,memory'];
    const { status, stdout } = await check(out, ...flags);
    assert.equal(status, 'failed');
    assert.match(stdout, /^2 of the steps did not pass/);
    const { parity, memory } = JSON.parse(readFileSync(out, 'utf8')).steps;
    for (const step of [parity, memory]) {
      assert.equal(step.status, 'failed');
      assert.match(step.output, /There is no device 'emulated:7'/);
    }
  });

  it('refuses options and steps that it does not know', async (t) => {
    const out = join(temporaryFolder(t), 'check.json');
    assert.match((await check(out, '--speed')).output ?? '', /^error: Unknown option '--speed'/);
    const unknown = await check(out, '--steps', 'speed');
    assert.match(
      unknown.output ?? '',
      /^error: There is no step "speed"; choose from setup, doctor, /,
    );
  });
});
