import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clone, detach, mul, type Tensor } from '@bantam/torch';
import type { Batch } from '../../data/index.js';
import { withChanges, type ModelConfig } from '../../models/index.js';
import { trainTokenizer } from '../../text/index.js';
import { resolveConfig } from '../config/resolve.js';
import { masked, maskless, residual } from '../../test-support/strategy-bench.js';
import { createStrategy, type StrategyInput } from '../strategies/index.js';
import type { Strategy } from '../strategies/strategy.js';
import { Trainer, type BatchStream, type StepReport } from '../loop/trainer.js';

/** Index of the sample whose pixels are not numbers. */
const poison = 7;
/** Batches of four; the third and the fourth have the sample. */
const order = [
  [0, 1, 2, 3],
  [4, 5, 6, 8],
  [1, 9, 7, 2],
  [7, 0, 4, 5],
  [3, 8, 6, 9],
  [2, 5, 0, 8],
];
const captions = Array.from({ length: 10 }, (_, i) => `image number ${i} ${'of many '.repeat(i % 3)}`); // prettier-ignore
const tokenizer = trainTokenizer(captions, { vocabSize: 520, contextLength: 16 });

/** A strategy whose images of one sample have no finite pixels. */
function poisoned(strategy: Strategy): Strategy {
  return {
    ...strategy,
    encode(batch, context) {
      if (!batch.indices.includes(poison)) return strategy.encode(batch, context);
      const images = Object.entries(batch.images);
      const bad = images.map(([view, pixels]) => [view, mul(pixels, NaN)] as const);
      return strategy.encode({ ...batch, images: Object.fromEntries(bad) }, context);
    },
  };
}

function stream(
  batches: readonly number[][],
  views: readonly string[],
  side: number,
  microBatch: number,
): BatchStream {
  const microBatches = batches.flatMap((batch) => [
    batch.slice(0, microBatch),
    batch.slice(microBatch),
  ]);
  const make = (indices: readonly number[], position: number): Batch => ({
    images: Object.fromEntries(
      views.map((view, at) => {
        const pixels = indices.flatMap((index) =>
          Array.from({ length: side * side * 3 }, (_, i) => (i * (index + 2) * (at + 3)) % 251),
        );
        return [view, Uint8Array.from(pixels)];
      }),
    ),
    height: side,
    width: side,
    size: indices.length,
    captions: indices.map((index) => captions[index] ?? ''),
    indices: Int32Array.from(indices),
    keys: indices.map((index) => `key ${index}`),
    epoch: 0,
    next: { epoch: 0, position: position + 1 },
  });
  return {
    waitSeconds: 0,
    async *batches({ position = 0 } = {}) {
      const filled = microBatches.filter(({ length }) => length > 0);
      for (let at = position; ; at++) {
        yield await Promise.resolve(make(filled[at % filled.length] ?? [], at));
      }
    },
  };
}

interface Case {
  name: string;
  model: ModelConfig;
  strategy: StrategyInput;
  microBatch?: number;
}

const global = { type: 'global', gammaMin: 1 } as const;
const cases: readonly Case[] = [
  { name: 'clip', model: maskless, strategy: { type: 'clip' } },
  { name: 'clip with batch norms', model: residual, strategy: { type: 'clip' } },
  {
    name: 'clip with batch norms, in micro-batches',
    model: residual,
    strategy: { type: 'clip' },
    microBatch: 2,
  },
  { name: 'slip', model: maskless, strategy: { type: 'slip', headWidth: 10, headDim: 6 } },
  {
    name: 'fastclip v2',
    model: maskless,
    strategy: { type: 'fastclip', loss: { ...global, version: 'v2' } },
  },
  { name: 'fastclip v2 in micro-batches', model: maskless, strategy: { type: 'fastclip', loss: { ...global, version: 'v2' } }, microBatch: 2 }, // prettier-ignore
  {
    name: 'fastclip v3',
    model: maskless,
    strategy: { type: 'fastclip', loss: { ...global, version: 'v3' } },
  },
];

/** A trainer on these batches, with a rate and a γ that do not go by the budget. */
function setUp({ model, strategy: settings, microBatch = 0 }: Case, batches: readonly number[][]) {
  const adapted = withChanges(model, { text: { vocabSize: 520, contextLength: 16 } });
  const config = resolveConfig({
    model: adapted,
    strategy: settings,
    data: 'made by hand',
    budget: '96samples',
    train: {
      batchSize: 4,
      microBatch,
      ema: 0.9,
      schedule: 'constant',
      warmup: 0,
      precision: 'fp32',
    },
  });
  const strategy = createStrategy(config, { samples: captions.length });
  const views = Object.keys(strategy.views([]));
  const loader = stream(batches, views, adapted.vision.imageSize, microBatch || 4);
  return new Trainer({ config, strategy: poisoned(strategy), tokenizer }, loader);
}

function bytes(trainer: Trainer): Map<string, Buffer> {
  return new Map(
    Object.entries(trainer.checkpoint().tensors).flatMap(([part, tensors]) =>
      [...tensors].map(([name, tensor]) => [`${part}: ${name}`, bytesOf(tensor)] as const),
    ),
  );
}

function bytesOf(tensor: Tensor): Buffer {
  const { buffer, byteOffset, byteLength } = tensor.toTypedArray();
  return Buffer.from(buffer.slice(byteOffset, byteOffset + byteLength));
}

async function next(steps: AsyncGenerator<StepReport>): Promise<StepReport> {
  const { value } = (await steps.next()) as IteratorYieldResult<StepReport>;
  return value;
}

describe('a step that is not finite', () => {
  for (const one of cases) {
    it(`leaves everything as it was, bit for bit: ${one.name}`, async () => {
      using trainer = setUp(one, order);
      const steps = trainer.run();
      for (const step of [1, 2]) assert.equal((await next(steps)).kind, 'step', `${step}`);
      const before = bytes(trainer);
      const skipped = await next(steps);
      assert.ok(skipped.kind === 'skip');
      assert.equal(skipped.step, 3);
      assert.equal(skipped.samples, 12);
      assert.ok(Number.isNaN(skipped.loss));
      assert.deepEqual(skipped.keys, ['key 1', 'key 9', 'key 7', 'key 2']);
      assert.equal((await next(steps)).kind, 'skip');
      const after = bytes(trainer);
      assert.deepEqual([...after.keys()], [...before.keys()]);
      for (const [name, value] of before) assert.ok(after.get(name)?.equals(value), name);
      assert.equal(trainer.step, 2);
      assert.equal(trainer.spent.samples, 16);
    });

    it(`is as if its batch had not been: ${one.name}`, async () => {
      using trainer = setUp(one, order);
      using clean = setUp(
        one,
        order.filter((batch) => !batch.includes(poison)),
      );
      for (const [one, reports] of [
        [trainer, 8],
        [clean, 6],
      ] as const) {
        const steps = one.run();
        for (let i = 0; i < reports; i++) await next(steps);
        assert.equal(one.step, 6);
      }
      const expected = bytes(clean);
      for (const [name, value] of bytes(trainer)) {
        assert.ok(expected.get(name)?.equals(value), name);
      }
    });
  }

  it('lets the random streams go on', async () => {
    using trainer = setUp({ name: 'masks', model: masked, strategy: { type: 'clip' } }, order);
    const steps = trainer.run();
    for (let i = 0; i < 2; i++) await next(steps);
    const { streams } = trainer.checkpoint().state;
    assert.equal((await next(steps)).kind, 'skip');
    assert.notDeepEqual(trainer.checkpoint().state.streams, streams);
  });
});

describe('weights of a checkpoint that come back', () => {
  it('are those that were saved, while steps, budget and data go on', async () => {
    using trainer = setUp({ name: 'clip', model: residual, strategy: { type: 'clip' } }, order);
    const steps = trainer.run();
    await next(steps);
    const saved = bytes(trainer);
    const copies = copyTensors(trainer);
    await next(steps);
    trainer.restoreWeights(copies);
    for (const [name, value] of bytes(trainer)) assert.ok(saved.get(name)?.equals(value), name);
    const { step, position } = trainer.checkpoint().state;
    assert.deepEqual({ step, position }, { step: 2, position: 2 });
    assert.equal((await next(steps)).kind, 'skip', 'the third batch');
  });

  it('take along what the optimizer did not have yet', async () => {
    using trainer = setUp({ name: 'clip', model: maskless, strategy: { type: 'clip' } }, order);
    const saved = bytes(trainer);
    const copies = copyTensors(trainer);
    await next(trainer.run());
    assert.ok(bytes(trainer).size > saved.size);
    trainer.restoreWeights(copies);
    assert.deepEqual(bytes(trainer), saved);
  });
});

function copyTensors(trainer: Trainer): Record<string, Map<string, Tensor>> {
  const { tensors } = trainer.checkpoint();
  return Object.fromEntries(
    Object.entries(tensors).map(([part, of]) => [
      part,
      new Map([...of].map(([name, tensor]) => [name, clone(detach(tensor))])),
    ]),
  );
}
