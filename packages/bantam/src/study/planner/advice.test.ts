import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from '../../base/at.js';
import { reasonOf } from './advice.js';
import { listCandidates } from './candidates.js';

const { candidates } = listCandidates({
  metric: 'acc1',
  samplesPerEpoch: 1000,
  contextLength: 16,
  captionTokens: 9,
  hasOwnAugment: false,
  isScored: true,
  models: ['ViT-Pico-8-64'],
});
const candidateOf = (quality: number) =>
  at(
    candidates.filter((one) => one.quality === quality),
    0,
  );
const predictionOf = (value: number) => {
  return { value, band: [value, value] as const, draws: [value] };
};

describe('reasonOf', () => {
  it('compares a choice with its rivals in points, and names each by how it differs', () => {
    const reason = reasonOf({
      candidate: candidateOf(0.8),
      epochs: 1.5,
      pairs: 800,
      isLoaderBound: true,
      pilots: [{ run: '', samples: 4100, seconds: 10, value: 0.25, samplingError: 0.01 }],
      seconds: 200,
      predicted: predictionOf(0.6),
      withoutRepeats: predictionOf(0.6),
      atHalf: predictionOf(0.55),
      alternatives: [1, 0.6].map((quality) => {
        const predicted = predictionOf(quality - 0.02);
        return { candidate: candidateOf(quality), predicted, hasPilot: quality === 0.6 };
      }),
    });
    assert.equal(
      reason,
      '25.0 % after 4.1k samples in pilots, the longest 1/20 of the run; all of the data, without a pilot, would gain 38.0 points; the best 60 % of the data would lose 2.0 points; the second half of the time brings 5.0 points; loading images takes longer than computing: smaller files would help',
    );
  });
});
