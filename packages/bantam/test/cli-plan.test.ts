import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { bantam, bantamJson, expectFailure, start } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
const options = { cwd, env: { OMP_NUM_THREADS: '1' } };
const training = ['train', ...tinyModel, '--data', 'folder:shapes', '--out', 'run'];
const once = [...training, '--budget', '24samples', '--set', 'train.batchSize=12'];

before(() => drawShapes(join(cwd, 'shapes'), { each: 2 }));
after(() => rm(cwd, { recursive: true }));

interface Plan {
  memory: Record<string, number>;
  time: Record<string, unknown> & { phases: Record<string, unknown>[] };
}

describe('the plan of a training', () => {
  it('prints memory part by part and time step by step, and writes nothing', async () => {
    const { status, stdout } = await bantam([...once, '--plan'], options);
    assert.equal(status, 0);
    assert.match(stdout, /^gradients of trainable parameters +[\d.]+ [kM]B$/m);
    assert.match(stdout, /^total +\d+(?:\.\d)? MB$/m);
    assert.match(stdout, /^steps +2$/m);
    assert.match(stdout, /^samples +24$/m);
    assert.match(stdout, /^FLOPs of a step +[\d.]+ [MG]FLOP$/m);
    assert.match(stdout, /^a step +[\d.]+ m?s$/m);
    assert.match(stdout, /^samples per second +[\d.e+]+$/m);
    assert.match(stdout, /^total +\d+s$/m);
    assert.match(stdout, /^Waiting for data, validation and saving are not included\.$/m);
    assert.match(stdout, /^Groups of parameters:\n {2}\S.*, weight decay 0, learning rate × 1$/m);
    assert.equal(existsSync(join(cwd, 'run')), false);
  });

  it('is one document of numbers with --json', async () => {
    const { memory, time } = (await bantamJson([...once, '--plan'], options)) as Plan;
    assert.equal(
      Object.keys(memory).join(),
      'parameters,gradients,optimizer,average,step,stored,batches,images,process,onDevice,total',
    );
    const { phases, leftOut, ...numbers } = time;
    assert.deepEqual(leftOut, ['data', 'validation', 'saving']);
    assert.ok(Object.values(numbers).every(Number.isFinite));
    assert.equal(
      Object.keys(numbers).join(),
      'samplesPerStep,steps,samples,flops,preparation,training,total,spent,rate',
    );
    const [phase = {}, ...more] = phases;
    assert.equal(more.length, 0);
    assert.equal(phase.name, 'training');
    assert.equal(phase.measuredOn, 12);
    assert.equal(Number(phase.steps) * Number(phase.flopsPerStep), time.flops);
    assert.equal(existsSync(join(cwd, 'run')), false);
  });
});

describe('a training that would not fit', () => {
  it('the memory is refused in one sentence', async () => {
    await expectFailure([...once, '--set', 'train.memoryLimit=0.05'], {
      status: 1,
      message:
        /would take about [\d.]+ [MG]B of memory, but train\.memoryLimit allows 50 MB; not even micro-batches of one sample would fit/,
      ...options,
    });
    await expectFailure([...once, '--set', 'train.memoryLimit=-1'], {
      status: 2,
      message: /'train\.memoryLimit' is -1; it must be a number of at least 0/,
      ...options,
    });
    assert.equal(existsSync(join(cwd, 'run')), false);
  });

  it('the time is refused with the largest budget that would', async () => {
    // A million steps in 7.2 seconds.
    const limit = [...training, '--set', 'train.batchSize=12', '--set', 'train.timeLimit=0.002'];
    const said = await bantam([...limit, '--budget', '12msamples'], options);
    assert.equal(said.status, 1);
    const pattern =
      /^error: This training would take about [\d.]+ (?:min|h), but train\.timeLimit allows 7\.2 s; with --budget (\d+)samples it would fit\.$/m;
    const [, samples] = pattern.exec(said.stderr) ?? assert.fail(said.stderr);
    assert.equal(Number(samples) % 12, 0);
    assert.equal(existsSync(join(cwd, 'run')), false);
    await expectFailure([...limit, '--budget', '8s'], {
      status: 1,
      message: /^error: The budget of 8 s is more than train\.timeLimit allows, 7\.2 s; with --budget 7\.2s it would fit\.$/, // prettier-ignore
      ...options,
    });
    await expectFailure([...limit, '--budget', '8s', '--set', 'train.timeLimit=-1'], {
      status: 2,
      message: /'train\.timeLimit' is -1; it must be a number of at least 0/,
      ...options,
    });
    assert.equal(existsSync(join(cwd, 'run')), false);
  });
});

describe('a run that was interrupted', () => {
  it('plans the rest of a run and leaves the run unchanged', async () => {
    const args = [...training, '--budget', '10msamples', '--set', 'train.timeLimit=1e5'];
    const running = start(args, options);
    await running.printed(/samples\/s/);
    running.process.kill('SIGINT');
    assert.equal((await running.ended).status, 1);
    const files = () => readdirSync(join(cwd, 'run'), { recursive: true }).sort();
    const before = files();
    const { time } = (await bantamJson(['train', '--resume', 'run', '--plan'], options)) as Plan;
    assert.deepEqual(files(), before);
    const rows = readFileSync(join(cwd, 'run', 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n');
    const { samples, seconds } = JSON.parse(String(rows.at(-1))) as Record<string, number>;
    assert.ok(samples !== undefined && samples > 0);
    assert.ok(Math.abs(Number(time.samples) + samples - 1e7) < Number(time.samplesPerStep));
    assert.ok(Math.abs(Number(time.spent) - Number(seconds)) < 1e-6);
    await expectFailure(['train', '--resume', 'run', '--plan', '--budget', '1h'], {
      status: 2,
      message: /--resume takes everything from the run's own configuration; leave out --budget/,
      ...options,
    });
  });
});
