import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { at } from '@bantam/torch';
import {
  distanceOf,
  sharedOptions,
  sharedTrainings,
  type SharedOptions,
} from '../../test-support/shared-trainings.js';
import { startTogether, trainTogether } from '../../test-support/train-together.js';
import { TinyRuns } from '../../test-support/tiny-runs.js';
import { withChanges } from '../../models/index.js';
import { readMetrics } from '../run-dir/metrics.js';
import { listCheckpoints, readCheckpointState } from '../run-dir/checkpoint.js';
import type { TrainConfig } from '../config/config.js';
import { resumeTraining, train, type TrainOptions } from '../train.js';
import { requireShareable } from './requirements.js';

const runs = new TinyRuns();
before(async () => {
  await runs.make();
  await runs.train('teacher', { budget: '24samples' });
});
after(() => {
  runs.remove();
});

/** Settings by which AdamW's first moment is the gradient. */
const gradientsKept = { beta1: 0, precision: 'fp64' } as const;

function optionsOf(folder: string, name: string, rest: Partial<SharedOptions> = {}): TrainOptions {
  return sharedOptions(runs, { folder, name, steps: 20, ...rest });
}

/** Checks that two runs have the same steps, gradients and weights. */
function assertClose(run: string, expected: string, tolerance: number): void {
  for (const [what, distance] of Object.entries(distanceOf(run, expected))) {
    assert.ok(distance <= tolerance, `${what}: ${String(distance)} apart`);
  }
}

describe('a training by several processes', () => {
  it('has the losses, gradients and weights of one process', { timeout: 300_000 }, async (t) => {
    const names = Object.keys(sharedTrainings(''));
    const kinds = [
      // One process has one sample alone.
      { kind: 'fp64', size: 4, some: names, steps: 4, train: gradientsKept, tolerance: 1e-9 },
      { kind: 'fp32', size: 2, some: ['clip', 'gradient cache'], steps: 20, tolerance: 1e-5 },
    ];
    for (const { kind, size, some, steps, train: settings, tolerance } of kinds) {
      const one = (folder: string, name: string): TrainOptions =>
        optionsOf(`${folder}-${kind}`, name, { steps, ...(settings && { train: settings }) });
      for (const name of some) await train(one('one', name));
      const tasks = some.map((name) => ({ options: one('several', name) }));
      for (const { code, stderr } of await trainTogether(size, tasks)) {
        assert.equal(code, 0, stderr);
      }
      for (const name of some) {
        await t.test(`${name}, ${size} processes, ${kind}`, () => {
          const [found, expected] = ['several', 'one'].map((folder) => one(folder, name).out);
          assertClose(String(found), String(expected), tolerance);
        });
      }
    }
  });

  it('resumes anywhere, repeats bit for bit, stops at any signal, leaves out the same steps', async () => {
    const whole = { ...optionsOf('parts', 'flip'), out: runs.path('whole') };
    const sharded = { ...whole, train: { ...whole.train, shardOptimizer: true } };
    const options = { ...sharded, out: runs.path('parts') };
    await train(whole);
    const started = await trainTogether(2, [
      { options, stop: 6 },
      { options: { ...whole, out: runs.path('again') } },
      { options: { ...whole, out: runs.path('once more') } },
      { options: { ...sharded, out: runs.path('divided') } },
      { options: { ...whole, out: runs.path('stopped') }, stop: 1, stoppedBy: 1 },
      { options: { ...whole, out: runs.path('spoiled 0') }, spoiled: { rank: 0, step: 3 } },
      { options: { ...sharded, out: runs.path('spoiled 1') }, spoiled: { rank: 1, step: 3 } },
    ]);
    for (const { code, stderr } of started) assert.equal(code, 0, stderr);
    const again = runs.checkpoint('again');
    assert.deepEqual(again, runs.checkpoint('once more'));
    assert.deepEqual(again, runs.checkpoint('divided'), 'a divided optimizer has the same bits');
    assert.deepEqual(runs.checkpoint('spoiled 0'), runs.checkpoint('spoiled 1'));
    assert.deepEqual(
      readMetrics(runs.path('spoiled 1'))
        .map(({ samples }) => samples)
        .slice(0, 4),
      [7, 14, 28, 35],
      'all processes left out the third step',
    );
    assert.equal(readCheckpointState(at(listCheckpoints(runs.path('stopped')), 0)).step, 1);
    const controller = new AbortController();
    await resumeTraining(options.out, {
      signal: controller.signal,
      onEvent: (event) => {
        if (event.kind === 'step' && event.step === 11) controller.abort();
      },
    });
    for (const { code, stderr } of await trainTogether(3, [{ resume: options.out }])) {
      assert.equal(code, 0, stderr);
    }
    assertClose(options.out, whole.out, 1e-5);
  });

  it('saves the run when a process dies, and resumes to the same bits', async () => {
    const options = optionsOf('killed', 'slip', { steps: 30 });
    const unbroken = { ...options, out: runs.path('unbroken') };
    const { processes, ends } = startTogether(3, [{ options }]);
    at(processes, 0).stdout?.on('data', (text) => {
      if (String(text).includes('step 5\n')) at(processes, 2).kill('SIGKILL');
    });
    const [first, second] = await ends;
    const step = readCheckpointState(at(listCheckpoints(options.out), -1)).step;
    assert.ok(step >= 5 && step < 30, `step ${step}`);
    assert.match(
      first?.stderr ?? '',
      /^Rank 2 of 3 has ended or hangs\. The run is saved at step \d+; resume it with "bantam train --resume .*"\.$/m,
    );
    assert.match(second?.stderr ?? '', /^Rank 2 of 3 has ended or hangs\. Resume the run from/m);
    const done = await trainTogether(3, [{ resume: options.out }, { options: unbroken }]);
    for (const { code, stderr } of done) assert.equal(code, 0, stderr);
    assert.deepEqual(runs.checkpoint('killed/slip'), runs.checkpoint('unbroken'));
  });

  it('passes a failure of one process on to all', async () => {
    const options = optionsOf('failed', 'clip');
    await train({ ...options, budget: '7samples' });
    const ends = await trainTogether(2, [{ options }]);
    assert.match(ends[0]?.stderr ?? '', /^The folder .* holds a run already/);
    assert.match(ends[1]?.stderr ?? '', /^Rank 0 has failed: The folder .* holds a run already/);
  });

  it('is refused by name where processes cannot share it', () => {
    const config = runs.config();
    const refuses = (changes: Partial<TrainConfig>, message: RegExp): void => {
      const context = { config: { ...config, ...changes }, device: 'cpu' } as const;
      assert.throws(() => {
        requireShareable(context, { size: 2 });
      }, message);
    };
    requireShareable({ config, device: 'cpu' }, { size: 7 });
    refuses(
      { train: { ...config.train, microBatch: 1 } },
      /^BantamError: A micro-batch of 1 cannot be divided among 2 processes; run fewer, or raise train\.microBatch/,
    );
    const { fineTune } = runs.config({
      init: { model: runs.path('teacher', 'model') },
      fineTune: { type: 'lora', dropout: 0.1 },
    });
    const moe = { experts: 3, topK: 1, every: 1 };
    requireShareable({ config: { ...config, fineTune }, device: 'cpu' }, { size: 2 });
    refuses(
      { fineTune, model: withChanges(config.model, { text: { moe } }) },
      /^BantamError: The dropout of LoRA .* mixtures of experts \("text\.moe"\)/,
    );
    assert.throws(() => {
      requireShareable({ config, device: 'cuda:0' }, { size: 2 });
    }, /^BantamError: Several processes train on the CPU alone so far, not on cuda:0/);
  });
});
