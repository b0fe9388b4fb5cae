import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  abs,
  add,
  AdamW,
  at,
  Generator,
  max,
  mul,
  onDevice,
  ones,
  randn,
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
import { needsEmulated, needsOther, testDevice } from '../test-support/test-device.js';
import {
  createModel,
  generateCaptions,
  parseModelConfig,
  presets,
  withChanges,
  type ModelConfig,
} from '../models/index.js';
import { resolveConfig } from './config/resolve.js';
import { addGradients } from './loop/gradients.js';
import { Trainer } from './loop/trainer.js';
import { fixedLengthTokenizer, noiseBatch, repeated } from './planning/index.js';
import { requireTensor } from './strategies/features.js';
import { createStrategy, type StrategyInput } from './strategies/index.js';
import type { Strategy } from './strategies/strategy.js';

const device = testDevice;

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
  { strategy: 'clip-da' },
  { strategy: 'flip' },
  { strategy: { type: 'clipa', imageSize: 8, textLength: 3 } },
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

describe('one step on another device', () => {
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

  it('refuses a tensor of the CPU that a strategy brings in', { skip: needsOther }, () => {
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
      new RegExp(`its tensors are on different devices, 'self' on ${device} and 'other' on cpu`),
    );
  });
});

/** A text tower as BERT's, with positions that count tokens. */
const bert = parseModelConfig({
  embedDim: 12,
  customText: true,
  vision: { imageSize: 16, patchSize: 8, width: 64, layers: 1 },
  text: {
    ...{ type: 'bert', width: 12, heads: 3, layers: 2, vocabSize: 30, contextLength: 9 },
    ...{ positions: 12, segments: 1, padId: 1, countsTokens: true, normEps: 1e-5 },
    ...{ poolType: 'mean', projType: 'mlp' },
  },
});

/** One small model for each kind of tower. */
const small: readonly (readonly [name: string, config: ModelConfig])[] = [
  ...[...presets].filter(([name]) => /-Nano-(16-)?64$/.test(name)),
  ['BERT', bert],
];

/** The largest difference of two tensors, relative to the largest number of the second or 10⁻³. */
function difference(actual: Tensor, expected: Tensor): number {
  const largest = Math.max(1e-3, max(abs(expected)).item());
  return max(abs(sub(to(actual, { device: 'cpu' }), expected))).item() / largest;
}

describe('every kind of tower on another device', () => {
  for (const [name, config] of small) {
    it(`has the losses and gradients of the CPU: ${name}`, () => {
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
        assert.ok(learnt > 40, `${learnt} gradients`);
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

describe('fifty steps of AdamW on another device', () => {
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

describe('a trainer on another device', () => {
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

  it('waits for the device in no step', { skip: needsEmulated }, async () => {
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
    // A device reports a step behind, the CPU at once.
    const { value } = await steps.next();
    const report = (await trainer.drain()) ?? value;
    assert.equal(report?.kind, 'skip');
    assert.deepEqual(state(), before);
    await steps.return();
  });
});
