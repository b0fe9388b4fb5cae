import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { saveTinyModel } from '../dist/test-support/saved-model.js';
import { bantam, bantamJson, expectFailure, start } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
const options = { cwd, env: { OMP_NUM_THREADS: '1' } };
before(() => drawShapes(join(cwd, 'train'), { each: 3 }));
after(() => rm(cwd, { recursive: true, force: true }));

/** A run with batches that cannot be divided evenly. */
function args(out: string, budget: string): string[] {
  return [
    ...['train', ...tinyModel, '--data', 'folder:train', '--out', out, '--budget', budget],
    ...['--set', 'train.batchSize=9', '--set', 'train.workers=0'],
  ];
}

/** The processes that a process has started. */
function childrenOf(pid: number | undefined): number[] {
  const rows = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
  return rows.split('\n').flatMap((row) => {
    const [child, parent] = row.trim().split(/\s+/).map(Number);
    return child !== undefined && parent === pid ? [child] : [];
  });
}

describe('bantam train --processes', () => {
  it('prints one JSON document of the whole training', async () => {
    const { status, stdout, stderr } = await bantam(
      [...args('whole', '90samples'), '--processes', '2', '--json'],
      options,
    );
    assert.equal(status, 0, stderr);
    const { steps, samples, interrupted } = JSON.parse(stdout) as Record<string, unknown>;
    assert.deepEqual([steps, samples, interrupted], [10, 90, false]);
  });

  it('starts the processes again from the last checkpoint when one is killed', async () => {
    const run = start([...args('killed', '1800samples'), '--processes=2', '--restarts=1'], options);
    await run.printed(/^training {2}/m);
    process.kill(Math.max(...childrenOf(run.process.pid)), 'SIGKILL');
    const { status, stdout, stderr } = await run.ended;
    assert.equal(status, 0, stderr);
    assert.match(stderr, /A process of 2 ended: rank \d by SIGKILL\. Restart 1 of 1\./);
    assert.match(stdout, /^Trained 200 steps on 1800 samples/);
  });

  it('passes a signal on, and saves a checkpoint', async () => {
    const run = start([...args('stopped', '1h'), '--processes', '2'], options);
    await run.printed(/^training {2}/m);
    run.process.kill('SIGTERM');
    const { status, stderr } = await run.ended;
    assert.equal(status, 1);
    assert.match(stderr, /error: Training was interrupted at step \d+ and saved; resume it/);
  });

  it('never restarts into a run that was there before', async () => {
    const { status, stderr } = await bantam(
      [...args('whole', '1h'), '--data=folder:nowhere', '--processes=2', '--restarts=1'],
      options,
    );
    assert.equal(status, 1);
    assert.match(stderr, /^error: .*nowhere/m);
    assert.doesNotMatch(stderr, /Restart 1/);
  });

  it('refuses what contradicts it', async () => {
    const alone = { ...options.env, RANK: '0', WORLD_SIZE: '2' };
    await expectFailure([...args('refused', '90samples'), '--processes', '2'], {
      status: 2,
      message: /RANK and WORLD_SIZE are set/,
      cwd,
      env: alone,
    });
    await expectFailure([...args('refused', '90samples'), '--processes', '2', '--plan'], {
      status: 2,
      message: /--plan plans the training of one process/,
      cwd,
    });
    await expectFailure(args('refused', '90samples'), {
      status: 1,
      message: /The environment variable MASTER_ADDR is missing/,
      cwd,
      env: alone,
    });
  });
});

/** More than two batches of images, and more prompts than a batch has. */
const many = { data: 'folder:many', each: 12 };

describe('bantam embed and eval with --processes', () => {
  const model = join(cwd, 'random');
  before(async () => {
    await drawShapes(join(cwd, 'many'), { each: many.each });
    await saveTinyModel(model);
  });

  it('write the file and the scores of one process', async () => {
    const embed = ['embed', '--model', model, '--data', many.data];
    const scores = ['eval', '--model', model, '--data', many.data, '--no-cache'];
    const run = async (args: readonly string[]): Promise<unknown> => bantamJson(args, options);
    await run([...embed, '--out', 'one/all.safetensors']);
    const summary = await run([...embed, '--out', 'two/all.safetensors', '--processes', '2']);
    assert.equal((summary as { size: number }).size, 144);
    const [one, two] = ['one', 'two'].map((name) =>
      readFileSync(join(cwd, name, 'all.safetensors')),
    );
    assert.ok(one !== undefined && two !== undefined && one.equals(two));
    assert.deepEqual(await run([...scores, '--processes=2']), await run(scores));
  });

  it('are no failure when they are interrupted', async () => {
    const data = Array.from({ length: 8 }, () => many.data);
    const args = ['eval', '--model', model, '--data', ...data, '--no-cache', '--processes=2'];
    const run = start([...args, '--answers', 'interrupted.json'], options);
    await run.printed(/^embedding images/m);
    run.process.kill('SIGINT');
    const { status, stdout, stderr } = await run.ended;
    assert.equal(status, 130, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, /^SIGINT: stopped before the work was done\.$/m);
    assert.doesNotMatch(stderr, /error|ended/);
    assert.ok(!existsSync(join(cwd, 'interrupted.json')));
  });

  it('end together if one fails', async () => {
    const elsewhere = join(cwd, 'elsewhere');
    await drawShapes(join(elsewhere, 'many'), { each: 1 });
    const args = ['embed', '--model', model, '--data', many.data, '--out', 'failed.safetensors'];
    const group = { WORLD_SIZE: '2', BANTAM_RENDEZVOUS: join(cwd, 'failing-store') };
    const [first, second] = await Promise.all(
      [cwd, elsewhere].map((folder, rank) => {
        const env = { ...options.env, ...group, RANK: String(rank), GLOO_SOCKET_IFNAME: 'lo' };
        return bantam(args, { cwd: folder, env });
      }),
    );
    assert.equal(first?.status, 1);
    assert.equal(second?.status, 1);
    const reason = '"folder:many" has other records in rank 1 than in rank 0; all processes need';
    assert.match(first.stderr, new RegExp(`^error: Rank 1 of 2 has failed: ${reason}`, 'm'));
    assert.match(second.stderr, new RegExp(`^error: ${reason}`, 'm'));
    assert.ok(!existsSync(join(cwd, 'failed.safetensors')));
  });
});
