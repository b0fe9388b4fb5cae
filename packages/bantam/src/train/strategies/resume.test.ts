import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { strategyOf, tinyCoca, TinyRuns, type StrategySettings } from '../tiny-run.test.helper.js';
import type { TrainOptions } from '../train.js';
import { readMetrics } from '../metrics.js';

const runs = new TinyRuns();
before(() => runs.make());
after(() => {
  runs.remove();
});

/** A run, and the steps after which it is interrupted; the twelve steps of a run are six epochs. */
interface Case {
  name: string;
  strategy: StrategySettings;
  stops: readonly number[];
  settings?: Record<string, string>;
  initImage?: boolean;
  /** Trains a model with a decoder. */
  captions?: boolean;
}

const inPieces = { 'train.microBatch': '4', 'train.accumulate': '2' };
/** Both phases have half of the budget: the first ends with step 6. */
const halves = { tuneShare: 0.5, tuneLr: 0.5 };
const slip = { type: 'slip', headWidth: 12, headDim: 8 };

const cases: readonly Case[] = [
  { name: 'clip', strategy: { type: 'clip' }, stops: [5] },
  { name: 'clip in pieces', strategy: { type: 'clip' }, stops: [2, 5], settings: inPieces },
  { name: 'clip-da', strategy: { type: 'clip-da' }, stops: [3] },
  { name: 'slip', strategy: slip, stops: [1, 7] },
  { name: 'slip in pieces', strategy: slip, stops: [3], settings: inPieces },
  { name: 'flip around its tuning', strategy: { type: 'flip', ...halves }, stops: [4, 9] },
  { name: 'flip at its tuning', strategy: { type: 'flip', ...halves }, stops: [6] },
  {
    name: 'flip in pieces',
    strategy: { type: 'flip', ...halves },
    stops: [1, 3, 4],
    settings: inPieces,
  },
  {
    name: 'clipa with a worker',
    strategy: { type: 'clipa', textLength: 5, textMethod: 'random', maskRatio: 0.3, ...halves },
    stops: [5, 6, 7],
    settings: { 'train.workers': '1' },
  },
  {
    name: 'clipa by syntax',
    strategy: { type: 'clipa', textLength: 5, ...halves },
    stops: [3, 8],
    settings: { 'train.microBatch': '2' },
  },
  { name: 'lit stored', strategy: { type: 'lit' }, stops: [5], initImage: true },
  {
    name: 'lit',
    strategy: { type: 'lit', storeFeatures: false },
    stops: [5],
    initImage: true,
    settings: { 'train.microBatch': '4' },
  },
  { name: 'coca', strategy: { type: 'coca' }, stops: [5], captions: true },
  {
    name: 'coca in pieces',
    strategy: { type: 'coca', captionWeight: 1 },
    stops: [2, 7],
    settings: inPieces,
    captions: true,
  },
  { name: 'siglip', strategy: { type: 'siglip' }, stops: [5] },
  ...['v1', 'v2', 'v3'].map((version) => ({
    name: `fastclip ${version}`,
    strategy: { type: 'fastclip', version },
    stops: [1, 6],
  })),
  {
    name: 'fastclip v2 in pieces',
    strategy: { type: 'fastclip', version: 'v2' },
    stops: [3],
    settings: inPieces,
  },
  {
    name: 'slip with the global loss',
    strategy: { ...slip, loss: 'global', version: 'v2' },
    stops: [7],
  },
  {
    name: 'duplicates as positives',
    strategy: { type: 'clip', duplicates: 'positives', lossChunk: 4 },
    stops: [5],
    settings: { 'train.microBatch': '2' },
  },
];

describe('a run that was interrupted and resumed', () => {
  const optionsOf = ({ strategy, settings, initImage, captions }: Case): Partial<TrainOptions> => ({
    strategy: strategyOf(strategy),
    settings: { 'train.ema': '0.9', ...settings },
    ...(captions === true && { model: tinyCoca }),
    ...(initImage === true && { initImage: runs.path('clip-whole', 'model') }),
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
      assert.equal(expected.has('strategy.safetensors'), /slip|fastclip/.test(one.name));
      const actual = runs.checkpoint(parts);
      assert.deepEqual([...actual.keys()], [...expected.keys()]);
      for (const [part, bytes] of expected) assert.ok(actual.get(part)?.equals(bytes), part);
      const figures = (name: string) =>
        readMetrics(runs.path(name)).map(({ step, epoch, loss, lr }) => [step, epoch, loss, lr]);
      assert.deepEqual(figures(parts), figures(whole));
    });
  }

  it('was trained another way by each strategy', () => {
    const weights = cases.map(({ name }) => runs.weights(`${name}-whole`).toString('base64'));
    // The two runs of flip in one piece are the same run.
    assert.equal(new Set(weights).size, cases.length - 1);
  });
});
