import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cpus } from 'node:os';
import { at } from '../../base/at.js';
import { budgetOf, busyNote, chanceNote, othersNote, reasonOf, tooShort, trainedNote, withoutPilots } from './advice.js'; // prettier-ignore
import { listCandidates } from './candidates.js';
import type { Forecast, PlannedChoice } from './plan-file.js';
import { planRungs } from './rungs.js';

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

describe('withoutPilots', () => {
  const rungs = { overhead: 4, shortest: 6, candidates: 9 };

  it('names the least budget, and the part of this one that would do', () => {
    assert.equal(
      withoutPilots({ ...rungs, seconds: 4, total: 41 }),
      'Pilots would have 4 s, and two that learn anything take about 20 s on this machine; plan for at least 205s, or with --pilots 49%.',
    );
    assert.match(withoutPilots({ ...rungs, seconds: 2, total: 20 }), /plan for at least 200s\.$/);
    assert.deepEqual(planRungs({ ...rungs, seconds: 0.1 * 204 }).length, 1);
    assert.deepEqual(planRungs({ ...rungs, seconds: 0.1 * 199 }).length, 0);
  });

  it('does not blame the budget if there is nothing to compare', () => {
    const note = withoutPilots({ ...rungs, candidates: 1, seconds: 400, total: 4000 });
    assert.match(note, /one candidate alone/);
  });
});

describe('budgetOf', () => {
  it('is a time that --budget takes, rounded up', () => {
    const times = [0.2, 205 + 1e-13, 599.5, 600.5, 36_001].map(budgetOf);
    assert.deepEqual(times, ['1s', '205s', '600s', '11m', '11h']);
  });
});

describe('othersNote', () => {
  const choices = [0.5, 0.2].map((chanceOfBest) => ({ chanceOfBest }) as PlannedChoice);
  const forecastsOf = (pilots: readonly number[]): Forecast[] =>
    pilots.map((count) => ({ pilots: count }) as Forecast);
  const note = (pilots: readonly number[], count: number): string | undefined =>
    othersNote({ choices, forecasts: forecastsOf(pilots), isPriorOnly: false }, count);

  it('says that the others have no pilot, if that is so', () => {
    assert.equal(note([1, 1, 0, 0], 2), 'The other 2 candidates together, without a pilot: 30 %.');
    assert.equal(note([1, 1, 0, 0], 1), 'The other 3 candidates together: 50 %.');
    assert.equal(note([1, 1, 1], 2), 'The other candidate: 30 %.');
  });

  it('is nothing if all are listed', () => {
    assert.equal(note([1, 1], 2), undefined);
    assert.equal(note([], 2), undefined);
  });
});

describe('tooShort', () => {
  const facts = { budget: '20s', total: 20, timing: 6, left: 12, steps: 5.7, fewest: 20, needed: 52.4, neededAgain: 46 }; // prettier-ignore

  it('refuses a budget of too few steps, with the least that is enough', () => {
    assert.equal(
      tooShort(facts),
      'A budget of 20s is 5 steps of the fastest candidate on this machine, and nothing is learned in fewer than 20; plan for at least 53s.',
    );
    assert.match(
      tooShort({ ...facts, neededAgain: 19 }) ?? '',
      /53s, or try again, as timing took 6 s and its result is kept\.$/,
    );
    assert.equal(tooShort({ ...facts, steps: 20 }), undefined);
  });

  it('refuses a budget that timing has used up', () => {
    assert.equal(
      tooShort({ ...facts, budget: '2s', total: 2, left: -4, steps: 25, needed: 7.05, neededAgain: 1.05 }), // prettier-ignore
      'A budget of 2s leaves no second for the run, as timing took 6 s; plan for at least 8s, or try again, as its result is kept.',
    );
    const tiny = { ...facts, budget: '0.1s', total: 0.1, timing: 0.02, left: 0.07, needed: 1.1 };
    assert.equal(
      tooShort(tiny),
      'A budget of 0.1s leaves no second for the run; plan for at least 2s.',
    );
  });
});

describe('busyNote', () => {
  it('says how many cores others used, if that disturbs', () => {
    assert.deepEqual(busyNote(0.2 * cpus().length), []);
    assert.match(
      busyNote(cpus().length).join(),
      /^Other programs used ([\d.]+) of \d+ cores when timing began, .* plan again with another --out\.$/,
    );
  });
});

describe('trainedNote', () => {
  it('tells that the same data are trained on and measured, a held-out part apart', () => {
    const [note] = trainedNote({ digest: 'a', isHeldOut: false }, 'a');
    assert.match(String(note), /^The data to measure on are the training data/);
    assert.deepEqual(trainedNote({ digest: 'b', isHeldOut: false }, 'a'), []);
    assert.deepEqual(trainedNote({ digest: 'a', isHeldOut: true }, 'a'), []);
  });
});

describe('chanceNote', () => {
  it('tells a run that learns nothing, with the budget for three times chance', () => {
    const asked: number[] = [];
    const budgetFor = (value: number): number => {
      asked.push(value);
      return 39.2;
    };
    assert.deepEqual(chanceNote({ chance: 0.01, value: 0.015, budgetFor }), [
      'The run is too short to learn anything here: the first choice is predicted to reach 1.5 %, where guessing has 1.0 %; plan for about 40s.',
    ]);
    // A point above twice chance is more than three times of it.
    assert.deepEqual(asked, [0.02 / 1.01 + 0.01]);
    chanceNote({ chance: 0.1, value: 0.1, budgetFor });
    assert.deepEqual(asked.slice(1), [(3 * 0.1) / 1.2]);
    const never = chanceNote({ chance: 0.01, value: 0.015, budgetFor: () => undefined });
    assert.match(never.join(), /a longer run would not change that/);
  });

  it('has nothing to say of a metric well above chance, be that large or small', () => {
    const budgetFor = (): undefined => undefined;
    assert.deepEqual(chanceNote({ chance: 0.01, value: 0.03, budgetFor }), []);
    assert.deepEqual(chanceNote({ chance: 0.5, value: 0.77, budgetFor }), []);
    assert.equal(chanceNote({ chance: 0.5, value: 0.6, budgetFor }).length, 1);
  });
});
