import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { modelConfig } from '../../models/index.js';
import { tiny, tinyCoca, TinyRuns } from '../../test-support/tiny-runs.js';
import type { TrainInput } from '../config/settings.js';
import type { TrainOptions } from '../train.js';
import type { StrategyInput } from './index.js';
import { readMetrics } from '../run-dir/metrics.js';

const runs = new TinyRuns();
const teachers = {
  alike: tiny,
  // Of another width and size.
  other: modelConfig('ViT-Pico-8-64', {
    embedDim: 24,
    vision: { imageSize: 24, patchSize: 8, width: 16, headWidth: 8, layers: 1 },
    text: { width: 16, heads: 2, layers: 1 },
  }),
} as const;
before(async () => {
  await runs.make();
  for (const [name, model] of Object.entries(teachers)) {
    await runs.train(name, { model, budget: '24samples' });
  }
});
after(() => {
  runs.remove();
});

/** A run, and the steps after which it is interrupted; the twelve steps of a run are six epochs. */
interface Case {
  name: string;
  strategy: StrategyInput;
  stops: readonly number[];
  train?: TrainInput;
  initImage?: boolean;
  teachers?: readonly (keyof typeof teachers)[];
  /** Trains a model with a decoder. */
  captions?: boolean;
}

const inMicroBatches = { microBatch: 4, accumulate: 2 };
/** Both phases have half of the budget: the first ends with step 6. */
const halves = { tuneFraction: 0.5, tuneLr: 0.5 };
const slip = { type: 'slip', headWidth: 12, headDim: 8 } as const;

const cases: readonly Case[] = [
  { name: 'clip', strategy: { type: 'clip' }, stops: [5] },
  {
    name: 'clip in micro-batches',
    strategy: { type: 'clip' },
    stops: [2, 5],
    train: inMicroBatches,
  },
  { name: 'clip-da', strategy: { type: 'clip-da' }, stops: [3] },
  { name: 'slip', strategy: slip, stops: [1, 7] },
  { name: 'slip in micro-batches', strategy: slip, stops: [3], train: inMicroBatches },
  { name: 'flip around its tuning', strategy: { type: 'flip', ...halves }, stops: [4, 9] },
  { name: 'flip at its tuning', strategy: { type: 'flip', ...halves }, stops: [6] },
  {
    name: 'flip in micro-batches',
    strategy: { type: 'flip', ...halves },
    stops: [1, 3, 4],
    train: inMicroBatches,
  },
  {
    name: 'clipa with a worker',
    strategy: { type: 'clipa', textLength: 5, textMethod: 'random', maskRatio: 0.3, ...halves },
    stops: [5, 6, 7],
    train: { workers: 1 },
  },
  {
    name: 'clipa by syntax',
    strategy: { type: 'clipa', textLength: 5, ...halves },
    stops: [3, 8],
    train: { microBatch: 2 },
  },
  { name: 'lit stored', strategy: { type: 'lit' }, stops: [5], initImage: true },
  {
    name: 'lit',
    strategy: { type: 'lit', storeFeatures: false },
    stops: [5],
    initImage: true,
    train: { microBatch: 4 },
  },
  { name: 'coca', strategy: { type: 'coca' }, stops: [5], captions: true },
  {
    name: 'coca in micro-batches',
    strategy: { type: 'coca', captionWeight: 1 },
    stops: [2, 7],
    train: inMicroBatches,
    captions: true,
  },
  { name: 'siglip', strategy: { type: 'siglip' }, stops: [5] },
  ...(['v1', 'v2', 'v3'] as const).map((version): Case => ({
    name: `fastclip ${version}`,
    strategy: { type: 'fastclip', loss: { type: 'global', version } },
    stops: [1, 6],
  })),
  {
    name: 'fastclip v2 in micro-batches',
    strategy: { type: 'fastclip', loss: { type: 'global', version: 'v2' } },
    stops: [3],
    train: inMicroBatches,
  },
  {
    name: 'slip with the global loss',
    strategy: { ...slip, loss: { type: 'global', version: 'v2' } },
    stops: [7],
  },
  { name: 'distill', strategy: { type: 'distill' }, stops: [5], teachers: ['alike'] },
  {
    name: 'distill by projections, around a stage',
    strategy: {
      type: 'distill',
      stages: [
        { fraction: 0.5, contrastive: 0 },
        { fraction: 0.25, lr: 0.5, feature: 0, interactive: 0 },
        { fraction: 0.25, relation: 0, feature: 0, interactive: 0 },
      ],
    },
    stops: [5, 6, 8, 10],
    teachers: ['other', 'alike'],
  },
  {
    name: 'distill by projections, in micro-batches',
    strategy: { type: 'distill', loss: 'sigmoid', teacherScale: 50 },
    stops: [3],
    train: inMicroBatches,
    teachers: ['other'],
  },
  {
    name: 'siclip',
    strategy: { type: 'siclip', negatives: 'assignment', combine: 'product-and-both' },
    stops: [4],
    teachers: ['other'],
  },
  {
    name: 'siclip in micro-batches, with the global loss',
    strategy: { type: 'siclip', loss: { type: 'global', version: 'v2' } },
    stops: [2],
    train: inMicroBatches,
    teachers: ['alike'],
  },
  {
    name: 'duplicates as positives',
    strategy: { type: 'clip', loss: { type: 'softmax', duplicates: 'positives', chunk: 4 } },
    stops: [5],
    train: { microBatch: 2 },
  },
];

/** The strategy of a case with its teachers. */
function taught({ strategy, teachers = [] }: Case): StrategyInput {
  if (typeof strategy === 'string' || !/distill|siclip/.test(strategy.type)) return strategy;
  return {
    ...strategy,
    teachers: teachers.map((name) => runs.path(name, 'model')),
  } as StrategyInput;
}

describe('a run that was interrupted and resumed', () => {
  const optionsOf = (one: Case): Partial<TrainOptions> => ({
    strategy: taught(one),
    train: { ema: 0.9, ...one.train },
    ...(one.captions === true && { model: tinyCoca }),
    ...(one.initImage === true && {
      init: { image: runs.path('clip-whole', 'model') },
    }),
  });
  for (const one of cases) {
    it(`ends with the same bytes: ${one.name}`, async () => {
      const [whole, parts] = [`${one.name}-whole`, `${one.name}-parts`];
      const { steps, interrupted } = await runs.train(whole, optionsOf(one));
      assert.equal(interrupted, false);
      const resumed = await runs.trainInParts(parts, optionsOf(one), one.stops);
      assert.equal(resumed.steps, steps);
      assert.ok(runs.weights(parts).equals(runs.weights(whole)), 'weights');
      const expected = runs.checkpoint(whole);
      assert.equal(
        expected.has('strategy.safetensors'),
        /slip|fastclip|siclip|distill/.test(one.name),
      );
      const actual = runs.checkpoint(parts);
      assert.deepEqual([...actual.keys()], [...expected.keys()]);
      for (const [part, bytes] of expected) assert.ok(actual.get(part)?.equals(bytes), part);
      const figures = (name: string) =>
        readMetrics(runs.path(name)).map(({ step, epoch, loss, lr }) => [step, epoch, loss, lr]);
      assert.deepEqual(figures(parts), figures(whole));
    });
  }

  it('ends with other weights under each strategy', () => {
    const weights = cases.map(({ name }) => runs.weights(`${name}-whole`).toString('base64'));
    // The two uncached runs of flip are the same run.
    assert.equal(new Set(weights).size, cases.length - 1);
  });
});
