import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { machineCpuSeconds, WorkerProcess } from './worker-process.js';

/** A worker that answers `run` after computing for some steps of 50 ms, and fails at the rest. */
const script = `
  require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
    const { op, steps } = JSON.parse(line);
    if (op === 'memory') { console.error('no memory left'); process.exit(3); }
    const end = Date.now() + 50 * (steps ?? 0);
    while (Date.now() < end);
    if (op === 'rate') require('child_process').
      spawn(process.execPath, ['-e', 'const end = Date.now() + 2000; while (Date.now() < end);'], { stdio: 'ignore' });
    console.log(JSON.stringify(op !== 'check' ? { seconds: steps } : { error: 'cannot ' + op }));
  });
`;

const start = (): WorkerProcess =>
  new WorkerProcess({
    name: 'The worker',
    program: process.execPath,
    args: ['-e', script],
    env: process.env,
  });

describe('WorkerProcess', () => {
  it('answers one request after the other, and ends', async () => {
    const worker = start();
    assert.deepEqual(await worker.ask({ op: 'run', steps: 2 }), { seconds: 2 });
    assert.deepEqual(await worker.ask({ op: 'run', steps: 1 }), { seconds: 1 });
    await worker.close();
    await assert.rejects(worker.ask({ op: 'check' }), /The worker failed: it has ended/);
  });

  it('throws what the worker reports', async () => {
    await using worker = start();
    await assert.rejects(worker.ask({ op: 'check' }), {
      name: 'BantamError',
      message: 'The worker failed: cannot check',
    });
  });

  it('tells with which words a worker ended', async () => {
    await using worker = start();
    await assert.rejects(worker.ask({ op: 'memory' }), {
      message: 'The worker failed: it ended with status 3; it last said: no memory left',
    });
  });

  it('tells when a program cannot be started', async () => {
    const missing = { name: 'The worker', program: '/no/program', args: [], env: {} };
    await using worker = new WorkerProcess(missing);
    await assert.rejects(worker.ask({ op: 'check' }), /The worker failed: .*ENOENT/);
  });

  it('counts CPU time', { skip: process.platform !== 'linux' }, async () => {
    await using worker = start();
    await worker.ask({ op: 'run', steps: 0 });
    const [before, machineBefore] = [worker.cpuSeconds(), machineCpuSeconds()];
    await worker.ask({ op: 'run', steps: 6 });
    const [after, machineAfter] = [worker.cpuSeconds(), machineCpuSeconds()];
    assert.ok((after ?? 0) - (before ?? 0) > 0.05);
    assert.ok((machineAfter ?? 0) - (machineBefore ?? 0) > 0.05);
  });

  it('counts what the worker started', { skip: process.platform !== 'linux' }, async () => {
    await using worker = start();
    await worker.ask({ op: 'rate', precision: 'fp32', device: 'cpu', seconds: 0 });
    const before = worker.cpuSeconds() ?? 0;
    const deadline = Date.now() + 10_000;
    while ((worker.cpuSeconds() ?? 0) < before + 0.2 && Date.now() < deadline) await sleep(20);
    assert.ok((worker.cpuSeconds() ?? 0) >= before + 0.2);
  });
});
