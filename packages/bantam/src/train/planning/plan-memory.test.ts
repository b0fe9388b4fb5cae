import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { existsSync } from 'node:fs';
import {
  emptyCache,
  footprint,
  memoryStats,
  resetPeakBytes,
  traceAllocations,
} from '@bantam/torch';
import { openSource, Quarantine, resolveAugment, type Source } from '../../data/index.js';
import { modelConfig, type ModelConfig } from '../../models/index.js';
import type { RunOptions, TrainConfig } from '../config/config.js';
import type { TrainInput } from '../config/settings.js';
import { Trainer } from '../loop/trainer.js';
import { footprintOf } from './extrapolate-trace.js';
import { requireFit, type Planners } from './memory-limit.js';
import { MemoryPlanner, type MemoryPlan } from './plan-memory.js';
import { fixedLengthTokenizer, noiseBatch, repeated } from './dummy-data.js';
import { resolvePrecision } from '../../base/precision.js';
import { createStrategy } from '../strategies/index.js';
import { tiny, TinyRuns } from '../../test-support/tiny-runs.js';

const runs = new TinyRuns();
let source: Source;
before(async () => {
  await runs.make();
  source = await openSource(runs.options('none').data);
});
after(() => {
  runs.remove();
});

function configOf(
  model: ModelConfig,
  train: TrainInput = {},
  changes: Partial<RunOptions> = {},
): TrainConfig {
  const config = runs.config({ model, train, ...changes });
  return { ...config, augment: resolveAugment(source.augment) };
}

function planner(config: TrainConfig, tokens = 8): Promise<MemoryPlanner> {
  const longest = { text: 'a caption', tokens };
  return MemoryPlanner.create(config, { source, models: [], longest });
}

/** Planned bytes of libtorch's part of a run. */
function tensorBytes({ total, batches, images, process }: MemoryPlan): number {
  return total - batches - images - process;
}

/** Two real steps of the configuration. */
async function measure(
  config: TrainConfig,
  tokens = 8,
): Promise<{ footprint: number; peak: number }> {
  emptyCache();
  const { batchSize, microBatch } = config.train;
  const strategy = createStrategy(config, { samples: source.size });
  const size = microBatch === 0 ? batchSize : microBatch;
  const views = Object.keys(strategy.views(config.augment));
  const noise = noiseBatch({ size, imageSize: config.preprocess.size, views });
  const batch = { ...noise, indices: noise.indices.map((i) => i % source.size) };
  const tokenizer = fixedLengthTokenizer(config.model, tokens);
  const before = memoryStats().liveBytes;
  resetPeakBytes();
  const trace = await traceAllocations(async () => {
    using trainer = new Trainer({ config, strategy, tokenizer }, repeated(batch));
    await strategy.prepare?.({
      model: trainer.model,
      source,
      preprocess: config.preprocess,
      precision: resolvePrecision(config.train.precision),
      batchSize: size,
      quarantine: new Quarantine(),
      exclude: () => undefined,
      onProgress: () => undefined,
    });
    const steps = trainer.run();
    await steps.next();
    await steps.next();
    await steps.return();
  });
  strategy.module?.dispose();
  strategy[Symbol.dispose]?.();
  return { footprint: footprint(trace), peak: memoryStats().peakBytes - before };
}

describe('MemoryPlanner', () => {
  const pico = modelConfig('ViT-Pico-8-64');
  const siclip = modelConfig('SiCLIP-Nano-64');
  for (const [what, model, train, tokens] of [
    ['fp32', pico, {}],
    ['bf16', pico, { precision: 'bf16' }],
    // The products of two captions this short are another kernel's than those of more.
    ['bf16, short captions', pico, { precision: 'bf16' }, 4],
    ['Lion with a moving average', pico, { optimizer: 'lion', ema: 0.9 }],
    ['micro-batches', pico, { microBatch: 6 }],
    ['gradient checkpointing', pico, { gradCheckpointing: true }],
    ['frozen parts', siclip, { freeze: ['visual.trunk.stem', 'visual.trunk.stages.{0,1,2}'] }],
  ] as const) {
    it(`predicts the measured step: ${what}`, async () => {
      const config = configOf(model, { batchSize: 24, ...train });
      const planned = tensorBytes((await planner(config, tokens)).plan());
      const { footprint: taken, peak } = await measure(config, tokens);
      assert.ok(taken >= peak, `${taken} for tensors of ${peak} bytes`);
      const ratio = planned / taken;
      assert.ok(ratio >= 1 && ratio < 1.15, `${planned} planned, ${taken} taken: ${ratio}`);
    });
  }

  it('predicts the measured step: features that are stored before', async () => {
    const lit = { strategy: 'lit', init: { image: 'a trained tower' } } as const;
    const config = configOf(pico, { batchSize: 20 }, lit);
    const planned = tensorBytes((await planner(config)).plan());
    const { footprint: taken } = await measure(config);
    const ratio = planned / taken;
    assert.ok(ratio >= 1 && ratio < 1.15, `${planned} planned, ${taken} taken: ${ratio}`);
  });

  it('says what of it weights, gradients and the optimizer are', async () => {
    const freeze = { freeze: ['visual'], ema: 0.9 };
    const plan = (await planner(configOf(tiny, freeze))).plan();
    assert.equal(plan.average, plan.parameters);
    assert.ok(plan.gradients < plan.parameters);
    const counters = plan.optimizer - 2 * plan.gradients;
    assert.ok(counters > 0 && counters < 1000, `${counters}`);
  });

  it('refuses what does not fit, with what would', async () => {
    const batch = { batchSize: 24 };
    // So deep that the activations of one sample are many.
    const deep = modelConfig('ViT-Pico-8-64', { vision: { patchSize: 4, layers: 6 } });
    const config = configOf(deep, batch);
    const made = await planner(config);
    const checkpointed = await planner(configOf(deep, { ...batch, gradCheckpointing: true })); // prettier-ignore
    const total = (microBatch: number) => made.plan({ microBatch }).total;
    assert.ok(total(0) > total(12) && total(12) > total(6));
    const within = (bytes: number, planners: Partial<Planners> = {}) => {
      return () => {
        requireFit({ planner: made, checkpointed: null, ...planners }, config.train, {
          available: bytes,
        });
      };
    };
    within(total(0))();
    assert.throws(
      within(total(12)),
      /would take about [\d.]+ [MG]B of memory, but [\d.]+ [MG]B are available; with train\.microBatch=12 it would fit/,
    );
    assert.throws(within(total(12) - 1), /with train\.microBatch=8 it would fit/);
    assert.throws(within(1e6, { checkpointed }), /not even micro-batches of one sample would fit/);

    const whole = checkpointed.plan().total;
    assert.ok(whole < total(12), `${whole} bytes are not below ${total(12)}`);
    assert.throws(
      within(total(12), { checkpointed }),
      /with train\.gradCheckpointing=true or train\.microBatch=12 it would fit, for the same batch and one more forward pass\.$/,
    );
    const least = checkpointed.plan({ microBatch: 1 }).total;
    assert.ok(least < total(1), `${least} bytes are not below ${total(1)}`);
    assert.throws(
      within(least, { checkpointed }),
      /with train\.gradCheckpointing=true and train\.microBatch=1 it would fit, for the same batch and two more forward passes\.$/,
    );
  });

  it('counts the images of a step, which micro-batches do not divide', async () => {
    const train = { batchSize: 8, microBatch: 2, accumulate: 2e6, memoryLimit: 4 };
    await assert.rejects(
      runs.train('accumulated', { train }),
      /allows 4\.0 GB; the images of a step's 16000000 samples alone are \d+\.\d GB, so lower train\.accumulate\.$/,
    );
  });

  it('leaves no run where a training is refused, and no tensors', async () => {
    const before = memoryStats().liveTensors;
    await assert.rejects(
      runs.train('refused', { train: { memoryLimit: 0.001 } }),
      /train\.memoryLimit allows 1\.0 MB/,
    );
    assert.equal(existsSync(runs.path('refused')), false);
    assert.equal(memoryStats().liveTensors, before);
  });
});

describe('footprintOf', () => {
  it('has what earlier work keeps beside later work, and hands out what it gave back', () => {
    const sizes = [2, 4, 6];
    const works = (trace: (size: number) => Float64Array) =>
      sizes.map((size) => ({ size, trace: trace(size) }));
    const kept = { traces: works((n) => Float64Array.of(4e6 * n, 3e6, -1)), size: 10 };
    const later = { traces: works((n) => Float64Array.of(2e6 * n, -1, 2e6 * n)), size: 20 };
    const whole = Float64Array.of(4e7, 3e6, -1, 4e7, -3, 4e7);
    assert.equal(footprintOf(kept, later), footprint(whole));
    assert.ok(footprint(whole) < footprintOf(kept) + footprintOf(later));
  });

  const traces = [2, 4, 6].map((size) => ({
    size,
    // Weights, rows, similarities, and what is rounded; rows are given back before the last.
    trace: Float64Array.of(1000, 3e6 * size, -2, 1e5 * size * size, Math.ceil(size / 4) * 64),
  }));

  it('continues every block, and hands out what was freed again', () => {
    const wanted = footprint(Float64Array.of(1000, 3e7, -2, 1e7, 192));
    assert.equal(footprintOf({ traces, size: 10 }), wanted);
  });

  it('continues the most memory where blocks differ', () => {
    const other = traces.map(({ size, trace }) => ({
      size,
      trace: size === 4 ? Float64Array.of(...trace, 100) : trace,
    }));
    assert.ok(footprintOf({ traces: other, size: 10 }) >= footprintOf({ traces, size: 10 }));
  });
});
