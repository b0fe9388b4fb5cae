import assert from 'node:assert/strict';
import {
  add,
  at,
  cat,
  Generator,
  narrow,
  noGrad,
  onDevice,
  randn,
  RandomStreams,
  scope,
  tensor,
  type Device,
  type FloatDType,
  type Tensor,
} from '@bantam/torch';
import {
  createModel,
  parseModelConfig,
  preprocessFor,
  type Clip,
  type LoadedModel,
  type ModelConfig,
} from '../models/index.js';
import type { Tokenizer } from '../text/index.js';
import { addGradients, type GradientOptions } from '../train/loop/gradients.js';
import type { MicroBatch } from '../train/loop/micro-batch.js';
import { onePhase, type Phase } from '../train/strategies/phases.js';
import type { ReinforcedSet } from '../train/teachers/reinforced-set.js';
import { createStrategy, withLogits, type StrategyInput } from '../train/strategies/index.js';
import { strategyOf } from './tiny-runs.js';
import { requireTensor } from '../train/strategies/features.js';
import type { Features, Losses, StepBatch, Strategy } from '../train/strategies/strategy.js';

/** Two small transformers; half of the patches are left out in training. */
export const masked: ModelConfig = parseModelConfig({
  embedDim: 12,
  vision: { imageSize: 16, patchSize: 4, width: 16, headWidth: 8, layers: 2, patchDropout: 0.5 },
  text: { width: 16, heads: 2, layers: 2, vocabSize: 20, contextLength: 8 },
});

/** The same without masks. */
export const maskless: ModelConfig = {
  ...masked,
  vision: { ...masked.vision, patchDropout: 0 } as ModelConfig['vision'],
};

/** The same with a decoder that writes captions. */
export function captioning(config: ModelConfig): ModelConfig {
  return parseModelConfig({
    ...config,
    embedDim: 16,
    customText: true,
    vision: { ...config.vision, attentionalPool: true, attnPoolerQueries: 4, attnPoolerHeads: 2 },
    text: { ...config.text, embedCls: true },
    decoder: { layers: 2, heads: 2 },
  });
}

/** An image tower with batch norms. */
export const residual: ModelConfig = parseModelConfig({
  embedDim: 12,
  vision: { type: 'resnet', imageSize: 32, width: 4, depths: [1, 1, 1, 1] },
  text: { width: 16, heads: 2, layers: 1, vocabSize: 20, contextLength: 8 },
});

/** Eight captions, the first and the sixth alike. */
const captions = ['a', 'b', 'c', 'd', 'e', 'a', 'g', 'h'] as const;

/** A strategy at work on a small model, every time the same. */
export interface Bench {
  readonly model: Clip;
  readonly strategy: Strategy;
  readonly streams: RandomStreams;
  readonly batch: StepBatch;
  readonly phase: Phase;
  /** For a step at that progress. */
  options(step: number, progress: number): GradientOptions;
}

/** Options of {@link createBench}. */
export interface BenchOptions {
  config?: ModelConfig;
  dtype?: 'float64' | 'float32';
  /** Of model, strategy and batch; the given models have to be there. */
  device?: Device;
  /** In place of a new model. */
  model?: Clip;
  /** For strategies that work with some. */
  models?: readonly LoadedModel[];
  /** For strategies that learn from one. */
  reinforced?: ReinforcedSet;
  /** Encodes the captions; default: ids that stand for none. */
  tokenizer?: Tokenizer;
}

/** A model, a strategy and a batch of eight for them. */
export function createBench(
  settings: StrategyInput,
  {
    config = masked,
    dtype = 'float64',
    device = 'cpu',
    model: given,
    models = [],
    reinforced,
    tokenizer,
  }: BenchOptions = {},
): Bench {
  const parsed = strategyOf(settings);
  const adapted = withLogits(config, parsed.loss);
  const generator = new Generator({ seed: 1 });
  const model = given ?? onDevice(device, () => createModel(adapted, { generator })).to(dtype);
  const strategy = onDevice(device, () =>
    createStrategy(
      {
        strategy: parsed,
        model: adapted,
        init: { model: 'trained', image: '' },
        seed: 0,
        preprocess: preprocessFor(adapted.vision.imageSize),
      },
      { samples: 10, models, ...(reinforced && { reinforced }) },
    ),
  );
  strategy.module?.to(dtype);
  if (strategy.frozen !== undefined) model.freeze(strategy.frozen);
  const streams = new RandomStreams({ seed: 3 });
  const phase = strategy.phases[0] ?? onePhase;
  const size = phase.imageSize ?? config.vision.imageSize;
  const batch = onDevice(device, () => createBatch(strategy, { size, dtype, tokenizer }));
  return {
    model,
    strategy,
    streams,
    batch,
    phase,
    options: (step, progress) => ({
      strategy,
      step: {
        model,
        streams,
        phase,
        samples: { indices: batch.indices, captions, epoch: 0 },
        step,
        progress,
        precision: 'float32',
      },
      weight: 0.5,
      gradCheckpointing: false,
    }),
  };
}

function createBatch(
  strategy: Strategy,
  { size, dtype, tokenizer }: { size: number; dtype: FloatDType; tokenizer: Tokenizer | undefined },
): StepBatch {
  const generator = new Generator({ seed: 2 });
  // Some captions are shorter than others.
  const rows = captions.map(
    (caption, i) =>
      tokenizer?.encode(caption) ??
      (i % 3 === 1 ? [1, 4 + i, 19, 0] : [1, 4 + i, 3 + ((i * 7) % 11), 19]),
  );
  return {
    images: Object.fromEntries(
      Object.keys(strategy.views([])).map((view) => [
        view,
        randn([captions.length, 3, size, size], generator, { dtype }),
      ]),
    ),
    ids: tensor(rows, { dtype: 'int64' }),
    captions,
    indices: Int32Array.of(3, 0, 9, 5, 7, 1, 2, 8),
  };
}

/** The batch in micro-batches of the given sizes. */
export function cut(
  { images, ids, captions, indices }: StepBatch,
  sizes: readonly number[],
): MicroBatch[] {
  let end = 0;
  return sizes.map((size) => {
    const start = end;
    end += size;
    const load = (): StepBatch => ({
      images: Object.fromEntries(
        Object.entries(images).map(([view, pixels]) => [view, narrow(pixels, 0, start, size)]),
      ),
      ids: narrow(ids, 0, start, size),
      captions: captions.slice(start, start + size),
      indices: indices.slice(start, start + size),
    });
    return { size, load };
  });
}

/** The reference of {@link addGradients}: every micro-batch with its graph in memory, one loss over all. */
export function addWithWholeGraph(
  microBatches: readonly MicroBatch[],
  options: GradientOptions,
): void {
  scope(() => {
    const { strategy, step, weight } = options;
    const parts = microBatches.map((microBatch) => ({
      ...strategy.encode(microBatch.load(), step),
      ...noGrad(() => strategy.targets?.(microBatch.load(), step)),
    }));
    const names = Object.keys(at(parts, 0));
    const features: Features = Object.fromEntries(
      names.map((name) => [name, cat(parts.map((part) => requireTensor(part, name)))]),
    );
    const [first, ...rest] = Object.values(strategy.losses(features, step));
    assert.ok(first);
    const total = rest.reduce(add, first);
    total.backward({ grad: tensor(weight, { dtype: total.dtype as FloatDType }) });
  });
}

/** The numbers of losses, by name; frees the losses. */
export function numbersOf(losses: Losses): Record<string, number> {
  const numbers = Object.entries(losses).map(([name, loss]) => [name, loss.item()] as const);
  for (const loss of Object.values(losses)) loss.dispose();
  return Object.fromEntries(numbers);
}

/** Gradients by name, of the model's parameters and the strategy's; null: none. */
export function gradients({ model, strategy }: Bench): Map<string, number[] | null> {
  const named = [
    ...model.namedParameters(),
    ...[...(strategy.module?.namedParameters() ?? [])].map(
      ([name, parameter]) => [`strategy.${name}`, parameter] as const,
    ),
  ];
  return new Map(named.map(([name, { grad }]) => [name, grad === null ? null : values(grad)]));
}

/** Numbers of every buffer: running statistics, and what the strategy estimates. */
export function buffers({ model, strategy }: Bench): Map<string, number[]> {
  const named = [...model.namedBuffers(), ...(strategy.module?.namedBuffers() ?? [])];
  return new Map(named.map(([name, buffer]) => [name, values(buffer)]));
}

function values(of: Tensor): number[] {
  return Array.from(of.toTypedArray(), Number);
}

/**
 * Asserts that tensors of the same names differ by at most `tolerance` of each one's largest number,
 * or of 10⁻³: the gradient of a bias before a batch norm is zero but for rounding.
 */
export function assertAllClose(
  actual: ReadonlyMap<string, readonly number[] | null>,
  expected: ReadonlyMap<string, readonly number[] | null>,
  { tolerance, what }: { tolerance: number; what: string },
): void {
  assert.deepEqual([...actual.keys()], [...expected.keys()]);
  for (const [name, wanted] of expected) {
    const found = actual.get(name) ?? null;
    assert.equal(found === null, wanted === null, `${what}: ${name} has a gradient or not`);
    if (found === null || wanted === null) continue;
    const largest = Math.max(1e-3, ...wanted.map((x) => (Number.isFinite(x) ? Math.abs(x) : 0)));
    for (const [i, x] of wanted.entries()) {
      const same = Object.is(found[i], x) || Math.abs(at(found, i) - x) <= tolerance * largest;
      assert.ok(same, `${what}: ${name}[${i}] is ${found[i]}, not ${x} (largest ${largest})`);
    }
  }
}

/** One step's gradients, in micro-batches of these sizes. */
export function step(bench: Bench, { sizes = [8], at = 1 } = {}): Bench {
  addGradients(cut(bench.batch, sizes), bench.options(at, 0.3));
  return bench;
}
