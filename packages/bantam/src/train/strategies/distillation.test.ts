import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Generator, copy_, noGrad, randn, scope, sub, tensor } from '@bantam/torch';
import { channelStatistics, preprocessFor } from '../../models/index.js';
import { addGradients } from '../loop/gradients.js';
import {
  assertAllClose,
  createBench,
  cut,
  gradients,
  maskless,
  step,
  type Bench,
  type BenchOptions,
} from '../../test-support/strategy-bench.js';
import { readMetrics } from '../run-dir/metrics.js';
import { createTeacherModel, smallConfig, smallTokenizer } from '../../test-support/teachers.js';
import { strategyOf, TinyRuns } from '../../test-support/tiny-runs.js';
import { preparedFor } from '../teachers/teacher.js';

const runs = new TinyRuns();
before(async () => {
  await runs.make();
  await runs.train('clip');
});
after(() => {
  runs.remove();
});

const none = { contrastive: 0, feature: 0, relation: 0, interactive: 0 };
const f64 = { dtype: 'float64' } as const;

/** A student, and a teacher with the same weights that reads the same ids. */
function sameTwice(): BenchOptions {
  const config = smallConfig();
  const { model } = createTeacherModel({ seed: 5 });
  const teacher = createTeacherModel({ seed: 6 });
  teacher.model.loadStateDict(model.stateDict());
  return { config, model: model.train(), models: [teacher], tokenizer: smallTokenizer };
}

describe('distill', () => {
  it('has no gradient where the student is its teacher', () => {
    const settings = {
      type: 'distill',
      teachers: ['itself'],
      contrastive: 0,
      interactive: 0,
    } as const;
    const same = gradients(step(createBench(settings, sameTwice())));
    const largest = (all: typeof same): number =>
      Math.max(...[...all.values()].flatMap((values) => (values ?? []).map(Math.abs)));
    assert.ok(largest(same) < 1e-10, `${largest(same)}`);
    const otherScale = gradients(step(createBench({ ...settings, teacherScale: 50 }, sameTwice()))); // prettier-ignore
    assert.ok(largest(otherScale) > 1e-3, 'at another scale it has one');
  });

  it('learns the same from a teacher that is listed three times', () => {
    for (const embedDim of [12, 9]) {
      const teacher = createTeacherModel({ seed: 4, embedDim });
      const [once, thrice] = [1, 3].map((copies) => {
        const teachers = Array.from({ length: copies }, () => 'teacher');
        const models = teachers.map(() => teacher);
        const bench = createBench({ type: 'distill', teachers }, { config: maskless, models });
        // Each copy has a projection of its own; here all are the same.
        const state = bench.strategy.module?.stateDict() ?? new Map<string, never>();
        noGrad(() => {
          for (const [name, to] of state) {
            const from = state.get(name.replace(/\.\d\./, '.0.'));
            if (from !== undefined) copy_(to, from);
          }
        });
        addGradients(cut(bench.batch, [8]), bench.options(1, 0.3));
        return ofModel(bench);
      }) as [ReturnType<typeof ofModel>, ReturnType<typeof ofModel>];
      assertAllClose(thrice, once, { tolerance: 1e-11, what: `width ${embedDim}` });
    }
  });

  it('is clip bit for bit where its own losses count nothing', () => {
    const clip = gradients(step(createBench({ type: 'clip' }, { config: maskless })));
    const models = [createTeacherModel({ seed: 4 })];
    for (const settings of [
      { type: 'distill', ...none, contrastive: 1 },
      { type: 'distill', ...none, contrastive: 1, teachers: ['teacher'] },
      { type: 'siclip', ...none, contrastive: 1, matching: 0 },
    ] as const) {
      const given = 'teachers' in settings ? { models } : {};
      const bench = step(createBench(settings, { config: maskless, ...given }));
      assert.deepEqual(ofModel(bench), clip, settings.type);
    }
  });

  it('counts the forward pass of its teachers, in the stages that have any use for them', () => {
    const teacher = createTeacherModel({ seed: 4 });
    const stages = [{ fraction: 0.5 }, { fraction: 0.5, ...none, contrastive: 1 }];
    const bench = createBench(
      { type: 'distill', teachers: ['teacher'], stages },
      { config: smallConfig(), models: [teacher], tokenizer: smallTokenizer },
    );
    const { strategy, model, batch } = bench;
    const { step: context } = bench.options(1, 0);
    const cost = { captionTokens: 5, forwardPasses: 1, recomputed: false };
    const flops = strategy.phases.map((phase) =>
      strategy.flops(model.config, { ...cost, phase }),
    ) as [number, number];
    // Student and teacher are of one configuration: three passes, and one more.
    assert.ok(Math.abs(flops[0] / flops[1] - 4 / 3) < 1e-12, flops.join());
    const targets = strategy.phases.map((phase) =>
      scope(() => Object.keys(strategy.targets?.(batch, { ...context, phase }) ?? {})),
    );
    assert.deepEqual(targets, [['teacher0.image', 'teacher0.text'], []]);
  });

  it('changes its losses where one stage is over', async () => {
    const { run } = await runs.train('stages', {
      strategy: strategyOf({
        type: 'siclip',
        teachers: [runs.path('clip', 'model')],
        stages: [
          { fraction: 0.5, contrastive: 0, matching: 0, interactive: 0 },
          { fraction: 0.25, lr: 0.5, feature: 0, interactive: 2 },
          { fraction: 0.25, ...none, contrastive: 1 },
        ],
      }),
    });
    const rows = readMetrics(run).map(({ losses }) => Object.keys(losses).join());
    assert.deepEqual(rows, [
      ...Array<string>(6).fill('feature,relation'),
      ...Array<string>(3).fill('contrastive,relation,interactive,matching'),
      ...Array<string>(3).fill('contrastive,matching'),
    ]);
  });

  it('brings a student near its teacher', async () => {
    const { run } = await runs.train('student', {
      strategy: strategyOf({ type: 'distill', teachers: [runs.path('clip', 'model')], ...none, feature: 1 }), // prettier-ignore
      budget: '480samples',
      train: { lr: 0.003 },
      seed: 5,
    });
    const losses = readMetrics(run).map(({ loss }) => loss);
    const [first, last] = [losses[0] ?? 0, losses.at(-1) ?? NaN];
    assert.ok(last < 0.2 * first, `${first} → ${last}`);
  });
});

describe('siclip', () => {
  it('learns to tell pairs from hard negatives, by either choice, without any teacher', async () => {
    for (const negatives of ['hardest', 'assignment'] as const) {
      const { run } = await runs.train(negatives, {
        strategy: strategyOf({ type: 'siclip', ...none, matching: 1, negatives }),
        budget: '480samples',
        train: { lr: 0.003 },
      });
      const losses = readMetrics(run).map(({ loss }) => loss);
      const last = Math.max(...losses.slice(-5));
      assert.ok(last < 0.5 * Math.LN2, `${negatives}: ${losses[0]} → ${last}`);
    }
  });
});

describe('preparedFor', () => {
  const pixels = (size: number) => randn([2, 3, size, size], new Generator({ seed: 1 }), f64);

  it('leaves pixels unchanged if nothing differs', () => {
    scope(() => {
      const given = pixels(8);
      assert.equal(preparedFor(preprocessFor(8), given, preprocessFor(8)), given);
    });
  });

  it('gives every shade of grey what the other preprocessing gives it', () => {
    scope(() => {
      const [from, to] = [preprocessFor(8), preprocessFor(12, channelStatistics.inception)];
      for (const shade of [0, 0.3, 1]) {
        const given = tensor(
          [from.mean.map((mean, c) => Array.from({ length: 8 }, () => Array<number>(8).fill((shade - mean) / (from.std[c] ?? NaN))))], // prettier-ignore
          f64,
        );
        const made = preparedFor(to, given, from);
        assert.deepEqual(made.shape, [1, 3, 12, 12]);
        for (const value of made.toArray()) {
          assert.ok(Math.abs(value - (shade - 0.5) / 0.5) < 1e-6, `${shade}: ${value}`);
        }
      }
    });
  });

  it('comes back to the same pixels by the way back', () => {
    scope(() => {
      const [from, to] = [preprocessFor(8), preprocessFor(8, channelStatistics.unit)];
      const given = pixels(8);
      const back = preparedFor(from, preparedFor(to, given, from), to);
      for (const value of sub(back, given).toArray()) assert.ok(Math.abs(value) < 1e-6);
    });
  });

  it('keeps within black and white what a filter would carry beyond', () => {
    scope(() => {
      const unit = preprocessFor(4, channelStatistics.unit);
      const step = tensor([Array.from({ length: 3 }, () => Array.from({ length: 4 }, () => [0, 0, 1, 1]))], f64); // prettier-ignore
      const values = preparedFor({ ...unit, size: 9 }, step, unit).toArray();
      assert.ok(Math.min(...values) === 0 && Math.max(...values) === 1);
    });
  });
});

/** Without the strategy's own. */
function ofModel(bench: Bench): Map<string, number[] | null> {
  return new Map([...gradients(bench)].filter(([name]) => !name.startsWith('strategy.')));
}
