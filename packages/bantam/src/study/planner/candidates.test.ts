import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readRunOptions } from '../../train/index.js';
import { listCandidates, type CandidateFacts } from './candidates.js';
import { rateOf, secondsPerSample } from './rates.js';

const facts: CandidateFacts = {
  metric: 'image_retrieval_recall@10',
  samplesPerEpoch: 100,
  contextLength: 16,
  captionTokens: 9,
  hasOwnAugment: false,
  isScored: false,
  models: undefined,
};

describe('listCandidates', () => {
  it('has no batch above an epoch, and says so', () => {
    const { candidates, leftOut } = listCandidates(facts);
    assert.deepEqual([...new Set(candidates.map(({ batch }) => batch))], [64]);
    assert.deepEqual(
      leftOut.map(({ name }) => name),
      ['batches of 128 or more', 'slip', 'lit, distill, siclip'],
    );
    const few = listCandidates({ ...facts, samplesPerEpoch: 20 }).candidates;
    assert.deepEqual([...new Set(few.map(({ batch }) => batch))], [20]);
  });

  it('names each candidate once, with options that train() takes', () => {
    const { candidates } = listCandidates({ ...facts, samplesPerEpoch: 1e5 });
    assert.ok(candidates.length > 100);
    assert.equal(new Set(candidates.map(({ name }) => name)).size, candidates.length);
    for (const { options } of candidates) {
      readRunOptions({ ...options, data: 'csv:pairs.csv', budget: '1m' });
    }
  });

  it('gives models that leave out patches those strategies, and scored data fractions', () => {
    const { candidates } = listCandidates({
      ...facts,
      models: ['ViT-Nano-16-64', 'ResNet-Nano-64', 'ViT-Nano-16-64'],
      isScored: true,
    });
    assert.equal(new Set(candidates.map(({ name }) => name)).size, candidates.length);
    const of = (strategy: string): Set<string> =>
      new Set(candidates.filter((one) => one.strategy === strategy).map(({ preset }) => preset));
    assert.deepEqual([...of('flip')], ['ViT-Nano-16-64']);
    assert.deepEqual([...of('clip')], ['ViT-Nano-16-64', 'ResNet-Nano-64']);
    // A batch of 64 needs more than 60 % of 100 samples.
    assert.deepEqual([...new Set(candidates.map(({ quality }) => quality))], [1, 0.8]);
    assert.throws(
      () => listCandidates({ ...facts, models: ['ViT-Nanno-16-64'] }),
      /ViT-Nano-16-64/,
    );
  });
});

describe('rateOf', () => {
  const kind = (name: string, model: string, cost: number) => ({ kind: name, model, cost });
  const [a, flip, b] = [
    kind('a, clip', 'a', 10),
    kind('a, flip', 'a', 5),
    kind('b, clip', 'b', 40),
  ];

  it('is the measured one, or by cost that of the same model, or of any', () => {
    const measured = [
      { candidate: a, rate: 100 },
      { candidate: b, rate: 10 },
    ];
    assert.deepEqual(rateOf(a, measured), { samplesPerSecond: 100, isMeasured: true });
    const estimate = rateOf(flip, measured);
    assert.equal(estimate?.isMeasured, false);
    assert.ok(Math.abs(estimate.samplesPerSecond - 200) < 1e-9);
    assert.equal(rateOf(a, []), null);
  });
});

describe('secondsPerSample', () => {
  it('is bound by loading while every image is decoded, and by computing once they are kept', () => {
    const load = { first: 0.01, again: 0.0001 };
    const once = secondsPerSample({ samplesPerSecond: 200, load, epochs: 1 });
    assert.equal(once.isLoaderBound, true);
    assert.ok(once.seconds >= 0.01);
    const often = secondsPerSample({ samplesPerSecond: 200, load, epochs: 20 });
    assert.equal(often.isLoaderBound, false);
    assert.ok(often.seconds >= 0.005 && often.seconds < 0.006);
  });
});
