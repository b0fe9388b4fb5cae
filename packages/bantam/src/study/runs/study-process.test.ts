import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const file = fileURLToPath(new URL('./study-process.js', import.meta.url));

/** Kills the study as its job arrives, and blocks until the pipe is broken, as a step of training would. */
const killer = `
  process.on('newListener', function add(name) {
    if (name !== 'message') return;
    process.off('newListener', add);
    process.on('message', () => {
      process.kill(process.ppid, 'SIGKILL');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
    });
  });`;

/** The study: a process that gives one job. */
const study = `
  import { fork } from 'node:child_process';
  const [file, preload] = process.argv.slice(1);
  fork(file, { execArgv: ['--import', preload], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
    .send({ kind: 'job', job: { kind: 'plan', options: {} } });`;

describe('a process of a study', () => {
  it('ends silently if the study is killed while it works', async () => {
    const preload = `data:text/javascript,${encodeURIComponent(killer)}`;
    const args = ['--input-type=module', '-e', study, file, preload];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    // The pipe of stderr closes when the last process that has it ends.
    const signal = await new Promise<unknown>((resolve) => {
      child.on('close', (_, name) => {
        resolve(name);
      });
    });
    assert.deepEqual({ signal, stderr }, { signal: 'SIGKILL', stderr: '' });
  });
});
