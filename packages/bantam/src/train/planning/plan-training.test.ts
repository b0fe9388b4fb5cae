import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { memoryStats } from '@bantam/torch';
import { writeTextures } from '../../test-support/textures.js';
import { openSource } from '../../data/index.js';
import { loadModel, modelFlops } from '../../models/index.js';
import { parseBudget } from '../config/budget.js';
import type { TrainConfig } from '../config/config.js';
import type { TrainSettings } from '../config/settings.js';
import { fixedLengthTokenizer, noiseBatch } from './dummy-data.js';
import { microBatchSize } from '../loop/micro-batch.js';
import { reinforceSource } from '../teachers/reinforce.js';
import { readRunConfig, writeRunConfig } from '../run-dir/paths.js';
import { createStrategy } from '../strategies/index.js';
import { tiny, TinyRuns } from '../../test-support/tiny-runs.js';
import { planResumed, planRun, resumeTraining, type TrainOptions } from '../train.js';
import { longestCaption } from '../config/tokenizer.js';
import { Trainer, type BatchStream } from '../loop/trainer.js';
import { measureTimes } from './measure-time.js';
import { planTime } from './plan-time.js';

const runs = new TinyRuns();
let data: string;
before(async () => {
  await runs.make();
  data = await writeTextures(runs.path('textures'), 20);
  await runs.train('teacher', { data, budget: '24samples' });
});
after(() => {
  runs.remove();
});

/** Endless noise for a configuration's images, of the size that a phase asks for. */
function noise({ train, preprocess }: TrainConfig): BatchStream {
  const views = ['image', 'first', 'second'];
  return {
    waitSeconds: 0,
    async *batches(_, { size = preprocess.size } = {}) {
      for (;;) {
        yield await Promise.resolve(
          noiseBatch({ size: microBatchSize(train), imageSize: size, views }),
        );
      }
    },
  };
}

/** Changes a setting of a run for a while. */
async function withSetting(
  name: string,
  change: Partial<TrainSettings>,
  body: () => Promise<void>,
): Promise<void> {
  const config = readRunConfig(runs.path(name));
  writeRunConfig(runs.path(name), { ...config, train: { ...config.train, ...change } });
  await body();
  writeRunConfig(runs.path(name), config);
}

async function planOf(changes: Partial<TrainOptions> = {}) {
  const { memory, time } = await planRun(runs.options('planned', { data, ...changes }));
  assert.ok(time !== null);
  assert.ok(time.phases.every(({ secondsPerStep }) => secondsPerStep > 0));
  assert.equal(existsSync(runs.path('planned')), false);
  return { memory, time };
}

describe('the plan of a training', () => {
  for (const [what, strategy, train, budget] of [
    ['plain', { type: 'clip' }, {}, '96samples'],
    ['in micro-batches', { type: 'clip' }, { microBatch: 2 }, '3e8flops'],
    ['accumulated', { type: 'slip', headWidth: 8, headDim: 4 }, { accumulate: 3 }, '50samples'], // prettier-ignore
    ['in phases', { type: 'flip', tuneFraction: 0.25 }, {}, '1e8flops'],
    ['at another size', { type: 'clipa', imageSize: 8, tuneFraction: 0.3 }, {}, '100samples'],
  ] as const) {
    it(`has the steps, samples and FLOPs that the trainer counts: ${what}`, async () => {
      const config = runs.config({ data, strategy, train, budget });
      const source = await openSource(data);
      const longest = { text: 'a caption', tokens: 8 };
      const costs = await measureTimes(config, { source, models: [], longest });
      const { steps, samples, flops } = planTime(parseBudget(budget), costs);
      using trainer = new Trainer(
        {
          config,
          strategy: createStrategy(config, { samples: source.size }),
          tokenizer: fixedLengthTokenizer(config.model, longest.tokens),
        },
        noise(config),
      );
      for await (const step of trainer.run()) assert.equal(step.kind, 'step');
      assert.ok(steps > 1);
      assert.deepEqual([steps, samples], [trainer.step, trainer.spent.samples]);
      assert.ok(Math.abs(flops / trainer.spent.flops - 1) < 1e-12);
    });
  }

  it('counts the forward passes of teachers in the stages that have them', async () => {
    const teacher = runs.path('teacher', 'model');
    const stages = [{ fraction: 0.5, feature: 0, relation: 0, interactive: 0 }, { fraction: 0.5 }];
    const { time, memory } = await planOf({
      strategy: { type: 'siclip', teachers: [teacher], stages },
    });
    const [alone, taught] = time.phases.map(({ flopsPerStep }) => flopsPerStep);
    const { config, tokenizer } = await loadModel(teacher);
    const { tokens } = longestCaption(await openSource(data), tokenizer);
    const { image, text } = modelFlops(config, { captionTokens: tokens });
    assert.equal(alone, 8 * 3 * (image + text));
    assert.equal(taught, 8 * 4 * (image + text));
    assert.deepEqual(time.phases.map(({ steps }) => steps), [6, 6]); // prettier-ignore
    assert.ok(memory.step > 0);
  });

  it('needs no teacher where a reinforced set stands for it', async () => {
    const source = await openSource(data);
    await reinforceSource(source, {
      teachers: [runs.path('teacher', 'model')],
      out: runs.path('set'),
      augmentations: 2,
      captions: 2,
      size: 16,
      workers: 0,
    });
    const strategy = { type: 'distill', reinforced: runs.path('set') } as const;
    const { time, memory } = await planOf({ strategy });
    assert.equal(time.steps, 12);
    assert.equal(time.preparation, 0);
    assert.equal(memory.stored, 0);
    assert.ok(memory.gradients > 0 && memory.step > 0);
  });

  it('has the pass over the data where their features are stored', async () => {
    const lit = (storeFeatures: boolean) =>
      planOf({
        strategy: { type: 'lit', storeFeatures },
        init: { image: runs.path('teacher', 'model') },
      });
    const { time, memory } = await lit(true);
    assert.ok(time.preparation > 0);
    assert.equal(time.total, time.preparation + time.training);
    assert.equal(memory.stored, 20 * 4 * tiny.embedDim);
    assert.equal(memory.images, 0);
    const computed = await lit(false);
    assert.equal(computed.time.preparation, 0);
    assert.equal(computed.memory.stored, 0);
    assert.ok(computed.time.flops > time.flops);
  });

  it('has no time where it does not fit the memory, and leaves no tensors', async () => {
    const before = memoryStats().liveTensors;
    const train = { memoryLimit: 0.001 };
    const { memory, time } = await planRun(runs.options('planned', { data, train }));
    assert.ok(memory.total > 1e6);
    assert.equal(time, null);
    assert.equal(memoryStats().liveTensors, before);
  });
});

describe('a run that goes on', () => {
  before(async () => {
    const controller = new AbortController();
    await runs.train('halted', {
      data,
      signal: controller.signal,
      onEvent: (event) => {
        if (event.kind === 'step' && event.step === 5) controller.abort();
      },
    });
  });

  it('is planned for what remains of it', async () => {
    const { memory, time } = await planResumed(runs.path('halted'));
    assert.ok(time !== null);
    assert.deepEqual([time.steps, time.samples], [7, 56]);
    assert.ok(time.spent > 0);
    assert.ok(memory.total > memory.parameters);
  });

  it('is refused where it no longer fits, with what in its settings would, and keeps what it has', async () => {
    for (const [change, message] of [
      [{ timeLimit: 1e-7 }, /^This training would take about .* more after .*, but train\.timeLimit allows 0\.00036 s; with "timeLimit": 0\.\d+ in .*halted.config\.json it would resume\.$/], // prettier-ignore
      [{ memoryLimit: 0.001 }, /^This training would take about \d+ MB of memory, but train\.memoryLimit allows 1\.0 MB; not even micro-batches/], // prettier-ignore
    ] as const) {
      await withSetting('halted', change, () =>
        assert.rejects(resumeTraining(runs.path('halted')), { message }),
      );
    }
    const { steps, interrupted } = await resumeTraining(runs.path('halted'));
    assert.deepEqual([steps, interrupted], [12, false]);
  });
});
