import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  abs,
  add,
  AdamW,
  at,
  deviceMemory,
  Generator,
  loadSafetensors,
  max,
  mul,
  onDevice,
  ones,
  prepareDevice,
  randn,
  resetDevicePeak,
  scope,
  sub,
  to,
  type Device,
  type Tensor,
} from '@bantam/torch';
import { takeEmulatedCounters } from '@bantam/torch/emulated-device';
import {
  assertAllClose,
  buffers,
  captioning,
  createBench,
  cut,
  gradients,
  masked,
  maskless,
  numbersOf,
  residual,
  type Bench,
} from '../test-support/strategy-bench.js';
import { createTeacherModel, smallConfig, smallTokenizer } from '../test-support/teachers.js';
import { tinyCoca, TinyRuns } from '../test-support/tiny-runs.js';
import { openSource } from '../data/index.js';
import {
  createModel,
  generateCaptions,
  modelConfig,
  presets,
  withChanges,
  type ModelConfig,
} from '../models/index.js';
import { resolveConfig } from './config/resolve.js';
import { addGradients } from './loop/gradients.js';
import { Trainer } from './loop/trainer.js';
import { fixedLengthTokenizer, noiseBatch, repeated } from './planning/index.js';
import { readMetrics } from './run-dir/metrics.js';
import { requireTensor } from './strategies/features.js';
import { createStrategy, type StrategyInput } from './strategies/index.js';
import type { Strategy } from './strategies/strategy.js';
import { ReinforcedSet } from './teachers/reinforced-set.js';
import { reinforceSource } from './teachers/reinforce.js';
import { planRun, resumeTraining, train, type TrainOptions } from './train.js';

const device: Device = prepareDevice('emulated');

/** A strategy, and the model that it trains here. */
interface Case {
  readonly strategy: StrategyInput;
  readonly config?: ModelConfig;
  readonly teachers?: boolean;
}

const cases: readonly Case[] = [
  { strategy: 'clip' },
  { strategy: { type: 'clip', loss: { type: 'softmax', duplicates: 'positives', chunk: 3 } } },
  { strategy: 'clip', config: residual },
  { strategy: { type: 'slip', headWidth: 10, headDim: 6 } },
  { strategy: 'flip' },
  { strategy: 'siglip', config: maskless },
  ...(['v1', 'v2', 'v3'] as const).map((version) => ({
    strategy: { type: 'fastclip', loss: { type: 'global', version } } as const,
  })),
  { strategy: 'coca', config: captioning(masked) },
  ...(['distill', 'siclip'] as const).map((type) => ({
    strategy: { type, teachers: ['one', 'two'] } as const,
    config: smallConfig(),
    teachers: true,
  })),
];

function benchOn(where: Device, { strategy, config, teachers = false }: Case): Bench {
  const models = teachers
    ? [createTeacherModel({ seed: 4 }), createTeacherModel({ seed: 5, embedDim: 9 })]
    : [];
  for (const { model } of models) model.to({ device: where });
  return createBench(strategy, {
    device: where,
    models,
    ...(config && { config }),
    ...(teachers && { tokenizer: smallTokenizer }),
  });
}

/** Losses of one step, whose gradients the bench has then. */
function lossesOf(bench: Bench, sizes: readonly number[], at = 1): number[] {
  const losses = addGradients(cut(bench.batch, sizes), bench.options(at, 0.3));
  return Object.values(numbersOf(losses));
}

describe('one step on the emulated device', () => {
  for (const one of cases) {
    for (const sizes of [[8], [3, 5]]) {
      it(`has the losses, gradients and buffers of the CPU: ${JSON.stringify(one.strategy)} ${sizes.join('+')}`, () => {
        const benches = (['cpu', device] as const).map((where) => benchOn(where, one));
        const [cpu = [], other = []] = benches.map((bench) => lossesOf(bench, sizes));
        const [expected, actual] = [at(benches, 0), at(benches, 1)];
        for (const [i, loss] of cpu.entries()) {
          assert.ok(Math.abs(at(other, i) - loss) <= 1e-9 * Math.abs(loss), `${other[i]} ${loss}`);
        }
        for (const { device: where } of actual.model.parameters()) assert.equal(where, device);
        const options = { tolerance: 1e-9, what: 'gradient' };
        assertAllClose(gradients(actual), gradients(expected), options);
        assertAllClose(buffers(actual), buffers(expected), { ...options, what: 'buffer' });
        assert.deepEqual(actual.streams.state(), expected.streams.state());
      });
    }
  }

  it('refuses a tensor of the CPU that a strategy brings in', () => {
    const bench = benchOn(device, { strategy: 'clip', config: maskless });
    const { strategy } = bench;
    const planted: Strategy = {
      ...strategy,
      encode(batch, step) {
        const features = strategy.encode(batch, step);
        return { ...features, image: mul(requireTensor(features, 'image'), ones([8, 12])) };
      },
    };
    assert.throws(
      () => addGradients(cut(bench.batch, [8]), { ...bench.options(1, 0.3), strategy: planted }),
      /its tensors are on different devices, 'self' on emulated:0 and 'other' on cpu/,
    );
  });
});

/** One small preset for each kind of tower. */
const small = [...presets.keys()].filter((name) => /-Nano-(16-)?64$/.test(name));

/** The largest difference of two tensors, relative to the largest number of the second or 10⁻³. */
function difference(actual: Tensor, expected: Tensor): number {
  const largest = Math.max(1e-3, max(abs(expected)).item());
  return max(abs(sub(to(actual, { device: 'cpu' }), expected))).item() / largest;
}

describe('every kind of tower on the emulated device', () => {
  for (const name of small) {
    it(`has the losses and gradients of the CPU: ${name}`, () => {
      const config = modelConfig(name);
      const strategy = config.decoder === null ? 'clip' : 'coca';
      scope(() => {
        const [expected, actual] = (['cpu', device] as const).map((where) => {
          const bench = createBench(strategy, { config, device: where, dtype: 'float32' });
          const losses = lossesOf(bench, [2]);
          return { losses, model: bench.model };
        });
        assert.ok(expected && actual);
        for (const [i, loss] of expected.losses.entries()) {
          const found = at(actual.losses, i);
          assert.ok(Math.abs(found - loss) <= 1e-5 * Math.abs(loss), `${found}, not ${loss}`);
        }
        const others = actual.model.namedParameters();
        let learnt = 0;
        for (const [key, { grad }] of expected.model.namedParameters()) {
          const other = others.get(key)?.grad ?? null;
          assert.equal(other === null, grad === null, key);
          if (grad === null || other === null) continue;
          assert.equal(other.device, device);
          const found = difference(other, grad);
          assert.ok(found <= 1e-3, `${key} differs by ${found}`);
          learnt += 1;
        }
        assert.ok(learnt > 50, `${learnt} gradients`);
        const statistics = actual.model.namedBuffers();
        for (const [key, buffer] of expected.model.namedBuffers()) {
          const other = statistics.get(key) ?? assert.fail(key);
          assert.ok(difference(other, buffer) <= 1e-4, key);
        }
        expected.model.dispose();
        actual.model.dispose();
      });
    });
  }

  it('writes the captions of the CPU', () => {
    const config = captioning(maskless);
    const { vocabSize, contextLength } = smallTokenizer;
    const fitting = withChanges(config, { text: { vocabSize, contextLength } });
    const [cpu, other] = (['cpu', device] as const).map((where) => {
      const generator = new Generator({ seed: 1 });
      using model = onDevice(where, () => createModel(fitting, { generator })).eval();
      const pixels = randn([2, 3, 16, 16], new Generator({ seed: 2 }), { device: where });
      return (['sample', 'beam', 'greedy'] as const).map((method) =>
        generateCaptions(model, pixels, {
          method,
          tokenizer: smallTokenizer,
          count: 1,
          generator: [3, 4].map((seed) => new Generator({ seed })),
        }),
      );
    });
    assert.deepEqual(other, cpu);
  });
});

describe('fifty steps of AdamW on the emulated device', () => {
  for (const sizes of [[8], [3, 5]]) {
    it(`end with the losses, gradients and weights of the CPU, in parts of ${sizes.join('+')}`, () => {
      const [expected, actual] = (['cpu', device] as const).map((where) => {
        const bench = benchOn(where, { strategy: 'clip' });
        using optimizer = new AdamW(bench.model, { lr: 3e-3 });
        const losses: number[] = [];
        for (let step = 1; step <= 50; step++) {
          optimizer.zeroGrad();
          losses.push(...lossesOf(bench, sizes, step));
          optimizer.step();
        }
        const weights = [...bench.model.namedParameters()].map(
          ([name, parameter]) => [name, parameter.toArray()] as const,
        );
        return { losses, weights: new Map(weights), gradients: gradients(bench) };
      });
      assert.ok(expected && actual);
      assert.ok(at(expected.losses, -1) < 0.6 * at(expected.losses, 0), 'the loss falls');
      const named = ({ losses }: typeof expected) => new Map([['loss', losses]]);
      assertAllClose(named(actual), named(expected), { tolerance: 1e-9, what: 'loss' });
      assertAllClose(actual.gradients, expected.gradients, { tolerance: 1e-8, what: 'gradient' });
      assertAllClose(actual.weights, expected.weights, { tolerance: 1e-8, what: 'weight' });
    });
  }
});

const runs = new TinyRuns();
before(async () => {
  await runs.make();
  await runs.train('teacher', { budget: '24samples' });
});
after(() => {
  runs.remove();
});

/**
 * The numbers of a weight, without the bias of an attention's keys: scores do not depend on it, so its
 * gradient is rounding alone, of which some optimizers make whole steps.
 */
function weightsOf(name: string, weight: Tensor): number[] {
  const numbers = weight.toArray();
  const third = numbers.length / 3;
  return name.endsWith('in_proj_bias') ? numbers.fill(0, third, 2 * third) : numbers;
}

/** Asserts that two runs had the same losses and ended with the same weights, within tolerances. */
function assertSameRuns(
  actual: string,
  expected: string,
  { tolerance = 1e-3, weights = tolerance }: { tolerance?: number; weights?: number } = {},
): void {
  const [a, b] = [actual, expected].map((name) => {
    const { tensors } = loadSafetensors(runs.path(name, 'model', 'open_clip_model.safetensors'));
    return {
      weights: new Map([...tensors].map(([key, tensor]) => [key, weightsOf(key, tensor)])),
      rows: readMetrics(runs.path(name)),
    };
  });
  assert.ok(a && b);
  const steps = ({ rows }: typeof a) =>
    rows.map(({ step, samples, epoch }) => [step, samples, epoch]);
  assert.deepEqual(steps(a), steps(b));
  for (const name of ['loss', 'gradNorm', 'logitScale', 'lr'] as const) {
    for (const [i, row] of b.rows.entries()) {
      const found = at(a.rows, i)[name];
      const near = Math.abs(found - row[name]) <= tolerance * Math.max(1, Math.abs(row[name]));
      assert.ok(near, `${name} of step ${row.step} is ${found}, not ${row[name]}`);
    }
  }
  assertAllClose(a.weights, b.weights, { tolerance: weights, what: 'weight' });
}

describe('training runs on the emulated device', () => {
  const trained: readonly {
    name: string;
    changes: Partial<TrainOptions>;
    tolerance?: number;
    weights?: number;
  }[] = [
    { name: 'clip', changes: { budget: '400samples' } },
    { name: 'ema', changes: { train: { ema: 0.9, accumulate: 2, clipNorm: 0.1 } } },
    { name: 'cache', changes: { train: { microBatch: 4, gradCheckpointing: true } } },
    { name: 'lion', changes: { train: { optimizer: 'lion', lr: 1e-4 } } },
    { name: 'adafactor', changes: { train: { optimizer: 'adafactor' } }, weights: 0.01 },
    // AdamW makes whole steps of small gradients that two 16-bit roundings tell apart.
    { name: 'bf16', changes: { train: { precision: 'bf16' } }, tolerance: 0.05, weights: 0.5 },
    { name: 'fp16', changes: { train: { precision: 'fp16' } }, tolerance: 0.01, weights: 0.3 },
    { name: 'flip', changes: { strategy: 'flip' } },
    { name: 'slip', changes: { strategy: { type: 'slip', headWidth: 12, headDim: 8 } } },
    { name: 'fastclip', changes: { strategy: 'fastclip' } },
    { name: 'coca', changes: { strategy: 'coca', model: tinyCoca } },
  ];
  for (const { name, changes, ...tolerances } of trained) {
    it(`end like those on the CPU: ${name}`, async () => {
      await runs.train(`${name}-cpu`, { ...changes, device: 'cpu' });
      await runs.train(`${name}-device`, { ...changes, device: 'emulated' });
      assertSameRuns(`${name}-device`, `${name}-cpu`, tolerances);
    });
  }

  it('end like those on the CPU: distillation and a locked tower', async () => {
    const teacher = runs.path('teacher', 'model');
    const strategies = {
      distill: { strategy: { type: 'distill', teachers: [teacher] } },
      lit: { strategy: 'lit', init: { image: teacher } },
    } as const;
    for (const [name, changes] of Object.entries(strategies)) {
      await runs.train(`${name}-cpu`, { ...changes, device: 'cpu' });
      await runs.train(`${name}-device`, { ...changes, device: 'emulated' });
      assertSameRuns(`${name}-device`, `${name}-cpu`);
    }
  });

  it('store the teacher embeddings of the CPU, and learn from them', async () => {
    const source = await openSource(runs.options('none').data);
    const stored = [];
    for (const where of ['cpu', 'emulated']) {
      const out = runs.path(`set-${where}`);
      await reinforceSource(source, {
        teachers: [runs.path('teacher', 'model')],
        out,
        device: where,
        augmentations: 2,
        captions: 1,
        precision: 'fp32',
        store: 'fp32',
      });
      using set = await ReinforcedSet.open(out);
      const rows = { teacher: 0, indices: Int32Array.of(0, 7, 19) };
      stored.push([
        ...set.image({ ...rows, which: Int32Array.of(0, 1, 1) }).toArray(),
        ...set.text({ ...rows, which: Int32Array.of(0, 0, 0) }).toArray(),
      ]);
    }
    const [cpu, other] = stored.map((values) => new Map([['embeddings', values]]));
    assert.ok(cpu && other);
    assertAllClose(other, cpu, { tolerance: 1e-5, what: 'embedding' });
    const strategy = { type: 'distill', reinforced: runs.path('set-cpu') } as const;
    await runs.train('reinforced-cpu', { strategy, device: 'cpu' });
    await runs.train('reinforced-device', { strategy, device: 'emulated' });
    assertSameRuns('reinforced-device', 'reinforced-cpu');
  });

  it('resume bit for bit, and with fp16 keep the scale of the loss', async () => {
    for (const precision of ['fp32', 'fp16'] as const) {
      const changes = { train: { precision, ema: 0.9 }, device: 'emulated' };
      await runs.train(`whole-${precision}`, changes);
      const stop = new AbortController();
      const part = `part-${precision}`;
      const interrupted = await runs.train(part, {
        ...changes,
        signal: stop.signal,
        onEvent: (event) => {
          if (event.kind === 'step' && event.step === 5) stop.abort();
        },
      });
      assert.equal(interrupted.interrupted, true);
      await resumeTraining(runs.path(part), { device: 'emulated' });
      assert.deepEqual(runs.checkpoint(part), runs.checkpoint(`whole-${precision}`));
    }
  });

  it('take the memory of the device that was planned, and are refused beyond it', async () => {
    const options = runs.options('planned', { train: { batchSize: 20 }, device: 'emulated' });
    const { memory, time } = await planRun(options);
    assert.ok(time !== null);
    resetDevicePeak(device);
    const before = deviceMemory(device).allocated;
    await train(options);
    const taken = deviceMemory(device).peak - before;
    const ratio = memory.onDevice / taken;
    assert.ok(ratio > 0.9 && ratio < 1.3, `${memory.onDevice} bytes planned, ${taken} taken`);
    const limited = { ...options, out: runs.path('limited') };
    await assert.rejects(
      train({ ...limited, train: { ...options.train, memoryLimit: 1e-4 } }),
      /^BantamError: This training would take about 0\.0 GB of memory on emulated:0, but train\.memoryLimit allows/,
    );
  });

  it('resume on another device and back', async () => {
    await runs.train('stay', { device: 'cpu' });
    const devices = ['cpu', 'emulated', 'cpu'];
    for (const [part, where] of devices.entries()) {
      const stop = new AbortController();
      const control = {
        device: where,
        signal: stop.signal,
        onEvent: (event: { kind: string; step?: number }) => {
          if (event.kind === 'step' && event.step === 4 * (part + 1)) stop.abort();
        },
      };
      if (part === 0) await runs.train('move', control);
      else await resumeTraining(runs.path('move'), control);
    }
    assertSameRuns('move', 'stay');
  });
});

describe('a trainer on the emulated device', () => {
  const createTrainer = (where: Device, wrap: (strategy: Strategy) => Strategy = (one) => one) => {
    const config = resolveConfig({
      model: maskless,
      data: 'noise',
      budget: '400samples',
      train: { batchSize: 8, precision: 'fp32', ema: 0.9 },
    });
    const strategy = wrap(createStrategy(config, { samples: 8 }));
    const tokenizer = fixedLengthTokenizer(config.model, 6);
    const batch = noiseBatch({ size: 8, imageSize: 16 });
    return new Trainer({ config, strategy, tokenizer, device: where }, repeated(batch));
  };

  it('waits for the device in no step', async () => {
    using trainer = createTrainer(device);
    const steps = trainer.run();
    for (let i = 0; i < 3; i++) await steps.next();
    takeEmulatedCounters();
    for (let i = 0; i < 5; i++) await steps.next();
    const { operators, copiesOut, synchronizations } = takeEmulatedCounters();
    assert.ok(operators > 1000, `${operators} operators`);
    assert.equal(copiesOut, 5);
    assert.equal(synchronizations, 0);
    await steps.return();
  });

  it('leaves out the same steps as the CPU, and changes nothing in them', async () => {
    const poisoned = (strategy: Strategy): Strategy => {
      let step = 0;
      return {
        ...strategy,
        losses(features, context) {
          step += 1;
          const losses = strategy.losses(features, context);
          if (step % 4 !== 3) return losses;
          return { ...losses, contrastive: mul(requireTensor(losses, 'contrastive'), NaN) };
        },
      };
    };
    const ends = [];
    for (const where of ['cpu', device] as const) {
      using trainer = createTrainer(where, poisoned);
      const kinds: string[] = [];
      for await (const report of trainer.run()) {
        kinds.push(report.kind);
        if (report.kind === 'skip') assert.ok(Number.isNaN(report.loss));
      }
      const { tensors } = trainer.checkpoint();
      const all = Object.entries(tensors).flatMap(([part, found]) =>
        [...found].map(([name, tensor]) => [`${part}.${name}`, tensor.toArray()] as const),
      );
      ends.push({ kinds, tensors: new Map(all), step: trainer.step });
    }
    const [expected, actual] = ends;
    assert.ok(expected && actual);
    assert.deepEqual(actual.kinds, expected.kinds);
    assert.ok(expected.kinds.filter((kind) => kind === 'skip').length > 10);
    assert.equal(actual.step, expected.step);
    assertAllClose(actual.tensors, expected.tensors, { tolerance: 2e-3, what: 'state' });
  });

  it('has not changed after a step without finite numbers', async () => {
    let bad = false;
    using trainer = createTrainer(device, (strategy) => ({
      ...strategy,
      losses(features, context) {
        const losses = strategy.losses(features, context);
        return bad ? { contrastive: add(requireTensor(losses, 'contrastive'), NaN) } : losses;
      },
    }));
    const steps = trainer.run();
    for (let i = 0; i < 3; i++) await steps.next();
    await trainer.drain();
    const state = () => {
      const { tensors } = trainer.checkpoint();
      return Object.values(tensors).map((part) =>
        [...part].map(([name, x]) => [name, x.toArray()]),
      );
    };
    const before = state();
    bad = true;
    await steps.next();
    const report = await trainer.drain();
    assert.equal(report?.kind, 'skip');
    assert.deepEqual(state(), before);
    await steps.return();
  });
});
