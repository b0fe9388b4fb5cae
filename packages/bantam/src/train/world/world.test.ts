import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { at, loadSafetensors, type Tensor } from '@bantam/torch';
import { modelConfig, withChanges } from '../../models/index.js';
import { startTogether, trainTogether } from '../../test-support/train-together.js';
import { tiny, tinyCoca, TinyRuns } from '../../test-support/tiny-runs.js';
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

/** Seven samples in a step are 3 and 4, or 2, 2 and 3: twenty steps. */
const uneven = { batchSize: 7, clipNorm: 0.5, ema: 0.9, lr: 3e-4 } as const;

/** An image tower with batch norms. */
const residual = modelConfig('RN50', {
  embedDim: 16,
  vision: { imageSize: 32, width: 4, depths: [1, 1, 1, 1], headWidth: 8 },
  text: { width: 16, heads: 2, layers: 1 },
});

/** Trainings by name; what one process does, several do. */
function trainings(): Readonly<Record<string, Partial<TrainOptions>>> {
  const teachers = [runs.path('teacher', 'model')];
  const slip = { type: 'slip', headWidth: 12, headDim: 8 } as const;
  const short = { budget: '28samples' } as const;
  return {
    clip: { budget: '140samples' },
    // Over few values batch norms amplify rounding.
    'batch norms': { model: residual, budget: '140samples', train: { lr: 1e-4 } },
    siglip: { ...short, strategy: { type: 'siglip' } },
    'positives of one caption': {
      ...short,
      strategy: { type: 'clip', loss: { type: 'softmax', duplicates: 'positives' } },
    },
    flip: { ...short, strategy: { type: 'flip', tuneFraction: 0.5 } },
    clipa: { ...short, strategy: { type: 'clipa', textLength: 6, tuneFraction: 0.25 } },
    slip: { ...short, strategy: slip },
    coca: { ...short, model: tinyCoca, strategy: { type: 'coca' } },
    fastclip: { ...short, strategy: { type: 'fastclip' } },
    'fastclip v2': {
      ...short,
      strategy: { type: 'fastclip', loss: { type: 'global', version: 'v2' } },
    },
    distill: { ...short, strategy: { type: 'distill', teachers } },
    siclip: { ...short, strategy: { type: 'siclip', teachers } },
    lit: { ...short, init: { model: '', image: at(teachers, 0) }, strategy: { type: 'lit' } },
    'low-rank changes': {
      ...short,
      init: { model: at(teachers, 0) },
      fineTune: { type: 'lora', dropout: 0 },
    },
    'gradient cache': {
      ...short,
      budget: '64samples',
      strategy: { type: 'flip', tuneFraction: 0.5 },
      train: { batchSize: 8, microBatch: 4, accumulate: 2, gradCheckpointing: true },
    },
    'batch norms in micro-batches': {
      ...short,
      model: residual,
      train: { batchSize: 14, microBatch: 7, lr: 1e-4 },
    },
  };
}

function optionsOf(folder: string, name: string): TrainOptions {
  const changes = at(Object.values(trainings()), Object.keys(trainings()).indexOf(name));
  const { train, ...rest } = changes;
  const { model = tiny } = rest;
  const isStarted = rest.init?.model !== undefined && rest.init.model !== '';
  const options = runs.options(`${folder}/${name}`, {
    ...rest,
    train: { ...uneven, ...train },
  });
  if (!isStarted) return { ...options, model };
  const { model: unused, ...started } = options;
  assert.ok(unused);
  return started;
}

/** The largest difference of two tensors. */
function distance(a: Tensor, b: Tensor): number {
  const theirs = b.toArray();
  return a.toArray().reduce((most, value, i) => Math.max(most, Math.abs(value - at(theirs, i))), 0);
}

/** Checks that two runs have the same steps and weights. */
function assertClose(run: string, expected: string, tolerance = 1e-5): void {
  const [found, wanted] = [readMetrics(run), readMetrics(expected)];
  assert.equal(found.length, wanted.length);
  for (const [i, row] of found.entries()) {
    const { loss, gradNorm, lr, samples, epoch } = at(wanted, i);
    assert.deepEqual([row.lr, row.samples, row.epoch], [lr, samples, epoch]);
    assert.ok(
      Math.abs(row.loss - loss) <= tolerance * Math.max(1, loss),
      `loss ${row.loss}, not ${loss}`,
    );
    assert.ok(
      Math.abs(row.gradNorm - gradNorm) <= 1e-4 * Math.max(1, gradNorm),
      `gradient ${row.gradNorm}, not ${gradNorm}`,
    );
  }
  const [own, theirs] = [run, expected].map((path) => {
    const last = at(listCheckpoints(path), -1);
    return { ...loadSafetensors(`${last}/model.safetensors`), state: readCheckpointState(last) };
  });
  assert.ok(own && theirs);
  const { streams, position, epoch } = theirs.state;
  assert.deepEqual(
    { streams: own.state.streams, position: own.state.position, epoch: own.state.epoch },
    { streams, position, epoch },
  );
  for (const [name, tensor] of theirs.tensors) {
    const found = own.tensors.get(name);
    assert.ok(found, name);
    const away = distance(found, tensor);
    assert.ok(away <= tolerance, `${name} is ${away} away`);
  }
}

describe('a training by several processes', () => {
  it('has the losses, gradients and weights of one process', { timeout: 300_000 }, async (t) => {
    const names = Object.keys(trainings());
    for (const name of names) await train(optionsOf('one', name));
    const bySize = { 2: ['clip', 'batch norms', 'gradient cache'], 3: names };
    for (const [size, some] of Object.entries(bySize)) {
      const tasks = some.map((name) => ({ options: optionsOf(size, name) }));
      for (const { code, stderr } of await trainTogether(Number(size), tasks)) {
        assert.equal(code, 0, stderr);
      }
      for (const name of some) {
        await t.test(`${name}, ${size} processes`, () => {
          assertClose(runs.path(size, name), runs.path('one', name));
        });
      }
    }
  });

  it('resumes with any number of processes, repeats bit for bit, stops at any signal', async () => {
    const options = { ...optionsOf('parts', 'flip'), budget: '140samples' };
    const whole = { ...options, out: runs.path('whole') };
    await train(whole);
    const started = await trainTogether(2, [
      { options, stop: 6 },
      { options: { ...whole, out: runs.path('again') } },
      { options: { ...whole, out: runs.path('once more') } },
      { options: { ...whole, out: runs.path('stopped') }, stop: 1, stoppedBy: 1 },
    ]);
    for (const { code, stderr } of started) assert.equal(code, 0, stderr);
    assert.deepEqual(runs.checkpoint('again'), runs.checkpoint('once more'));
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
    assertClose(options.out, whole.out);
  });

  it('saves the run when a process dies, and resumes to the same bits', async () => {
    const options = { ...optionsOf('killed', 'slip'), budget: '210samples' };
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
    const text = { moe: { experts: 2, topK: 1, every: 1 } };
    refuses(
      { model: withChanges(config.model, { text }) },
      /^BantamError: The model has mixtures of experts \("text\.moe"\).*run one process/,
    );
    refuses(
      { train: { ...config.train, microBatch: 1 } },
      /^BantamError: A micro-batch of 1 cannot be divided among 2 processes; run fewer, or raise train\.microBatch/,
    );
    const lora = runs.config({
      init: { model: 'trained' },
      fineTune: { type: 'lora', dropout: 0.3 },
    });
    refuses(
      { fineTune: lora.fineTune },
      /^BantamError: The dropout of LoRA \(fineTune\.dropout=0\.3\)/,
    );
    assert.throws(() => {
      requireShareable({ config, device: 'cuda:0' }, { size: 2 });
    }, /^BantamError: Several processes train on the CPU alone so far, not on cuda:0/);
  });
});
