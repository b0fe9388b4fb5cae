import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from '../../base/at.js';
import { CounterRng } from '../../data/index.js';
import { curveError } from '../fits/learning-curve.js';
import { chancesOfBest, Posterior, type Observation } from './posterior.js';
import { sharedPrior, type CandidatePrior, type SharedPrior } from './prior.js';

const shared: SharedPrior = {
  lnScale: { mean: Math.log(3500), sd: 0.9 },
  lnOnset: { mean: Math.log(2.4), sd: 0.2 },
  lnTail: { mean: Math.log(0.28), sd: 0.25 },
  logitFloor: { mean: -3, sd: 1.2 },
  lnRepeats: { mean: Math.log(6.5), sd: 0.3 },
  start: 0.99,
};

function candidate(model: string, lnScale: number): CandidatePrior {
  return { model, batch: 0, lnScale, modelSd: 0.5, ownSd: 0.2, lnRepeats: 0, floor: 1 };
}

const unique = 1e6;

/** The metric of a model whose learning sets in at so many samples, by a curve of the prior's shape. */
function metricOf(scale: number, samples: number, repeats = 6.5): number {
  const curve = { start: 0.99, floor: 0.05, scale, onset: 2.3, tail: 0.3, repeats };
  return 1 - curveError(curve, { unique, samples });
}

function pilot(index: number, scale: number, samples: number, noise = 0): Observation {
  const value = metricOf(scale, samples) + noise;
  return { candidate: index, point: { unique, samples }, value, queries: 1000 };
}

describe('curveError', () => {
  it('is the start without samples, the floor after endlessly many, and a known value between', () => {
    const curve = { start: 0.9, floor: 0.1, scale: 1000, onset: 2, tail: 0.5, repeats: 4 };
    assert.equal(curveError(curve, { unique: 10, samples: 0 }), 0.9);
    assert.ok(Math.abs(curveError(curve, { unique: 1e12, samples: 1e12 }) - 0.1) < 1e-8);
    // (1 + 3²)^−½ = 0.316 of what is between.
    const there = curveError(curve, { unique: 1e4, samples: 3000 });
    assert.ok(Math.abs(there - (0.1 + 0.8 / Math.sqrt(10))) < 1e-12);
    // One pair is worth 1 + R* in the end, so that there is a limit below the floor's reach.
    const repeated = curveError(curve, { unique: 600, samples: 1e9 });
    assert.ok(Math.abs(repeated - there) < 1e-9);
  });
});

describe('Posterior', () => {
  it('narrows with pilots, and its bands hold the curve that made them', () => {
    const candidates = [candidate('a', 0), candidate('b', 0.8)];
    const target = { unique, samples: 60_000 };
    const prior = new Posterior({ shared, candidates, observations: [] }).predict(0, target);
    const observations = [pilot(0, 5000, 8000), pilot(0, 5000, 30_000), pilot(1, 9000, 8000)];
    const { value, band } = new Posterior({ shared, candidates, observations }).predict(0, target);
    const width = ([low, high]: readonly [number, number]): number => high - low;
    assert.ok(width(band) < 0.5 * width(prior.band), `${width(band)}, ${width(prior.band)}`);
    const truth = metricOf(5000, 60_000);
    assert.ok(Math.abs(value - truth) < 0.04, `${value} is not ${truth}`);
    assert.ok(band[0] < truth && truth < band[1]);
  });

  it('is less sure the further it looks beyond the longest pilot', () => {
    const candidates = [candidate('a', 0)];
    const observations = [pilot(0, 20_000, 10_000), pilot(0, 20_000, 20_000)];
    const posterior = new Posterior({ shared, candidates, observations });
    const widths = [20_000, 40_000, 80_000].map((samples) => {
      const { band } = posterior.predict(0, { unique, samples });
      // On the logit, as fractions near 1 have little room.
      const [low, high] = band.map((p) => Math.log(p / (1 - p)));
      return Number(high) - Number(low);
    });
    assert.ok(
      widths.every((width, i) => i === 0 || width > at(widths, i - 1)),
      widths.join(),
    );
  });

  it('does not give up a slow starter for a low first pilot', () => {
    // After 6,000 samples b is at a tenth of a; its rate is six times as high.
    const candidates = [candidate('a', 0), candidate('b', 1.2)];
    const [slow, fast] = [20_000, 4000];
    const first = [pilot(0, fast, 6000), pilot(1, slow, 6000)];
    assert.ok(at(first, 1).value < 0.1 * at(first, 0).value);
    const posterior = new Posterior({ shared, candidates, observations: first });
    const [a, b] = [20_000, 240_000].map((samples, i) => posterior.predict(i, { unique, samples }));
    assert.ok(a && b && b.value > a.value, `${a?.value}, ${b?.value}`);
  });

  it('believes a pilot without a wrong answer', () => {
    const observations = [
      { candidate: 0, point: { unique, samples: 2000 }, value: 1, queries: 200 },
    ];
    const posterior = new Posterior({ shared, candidates: [candidate('a', 0)], observations });
    const { value } = posterior.predict(0, { unique, samples: 2000 });
    assert.ok(value > 0.85, String(value));
  });

  it('says the same in every process', () => {
    const candidates = [candidate('a', 0), candidate('b', 0.5)];
    const observations = [pilot(0, 4000, 8000)];
    const predict = () =>
      new Posterior({ shared, candidates, observations }).predict(1, { unique, samples: 9000 });
    assert.deepEqual(predict(), predict());
  });

  it('has bands that hold four of five new runs of models that are as the prior says', () => {
    const random = new CounterRng({ seed: 1, purpose: 'test', epoch: 0 });
    const normal = (mean: number, sd: number): number => mean + sd * random.normal();
    const logit = (p: number): number => Math.log(p / (1 - p));
    let held = 0;
    const trials = 30;
    for (let trial = 0; trial < trials; trial++) {
      const scale = Math.exp(normal(Math.log(3500), 0.9));
      const curve = {
        start: 0.99,
        floor: 0.99 / (1 + Math.exp(3 - 1.2 * random.normal())),
        scale,
        onset: 2.4 * Math.exp(normal(0, 0.2)),
        tail: 0.28 * Math.exp(normal(0, 0.25)),
        repeats: 6.5,
      };
      const measure = (samples: number): number => {
        const value = 1 - curveError(curve, { unique, samples });
        return 1 / (1 + Math.exp(-logit(value) - normal(0, Math.hypot(0.1, 0.1))));
      };
      const observations = [3000, 12_000].map((samples) => ({
        candidate: 0,
        point: { unique, samples },
        value: measure(samples),
        queries: 1e6,
      }));
      const candidates = [{ ...candidate('a', 0), modelSd: 1e-3, ownSd: 1e-3 }];
      const posterior = new Posterior({ shared, candidates, observations, draws: 50 });
      const [low, high] = posterior.predict(0, { unique, samples: 48_000 }).band;
      const value = measure(48_000);
      if (low <= value && value <= high) held += 1;
    }
    // The bands allow for an extrapolation that these runs do not need.
    assert.ok(held >= 0.72 * trials, `${held} of ${trials}`);
    assert.ok(held < trials);
  });
});

describe('the prior', () => {
  // R@10 of 958 product photographs after 30 and 120 seconds of one thread, one seed, with ln of the
  // prior's scale and its deviation, and samples per second, of which the last three are estimates.
  const runs = [
    { model: 'ModifiedResNet-Nano-64', lnScale: 0, sd: 0.3, rate: 250, early: 0.436, late: 0.763 },
    { model: 'ViT-Nano-16-64', lnScale: 0.85, sd: 0.4, rate: 267, early: 0.194, late: 0.621 },
    { model: 'ConvNeXt-Nano-64', lnScale: 0.65, sd: 0.4, rate: 230, early: 0.125, late: 0.604 },
    { model: 'ViT-Nano-8-64', lnScale: 0.9, sd: 0.5, rate: 130, early: 0.029, late: 0.418 },
    { model: 'MobileCLIP-Nano-64', lnScale: 1.6, sd: 0.6, rate: 230, early: 0.014, late: 0.13 },
  ];

  it('predicts best and worst of five models after 120 seconds by 30 seconds, and all within the bands', () => {
    const facts = { images: 958, classes: 0, chance: 10 / 958 };
    const pairs = 7667;
    const posterior = new Posterior({
      shared: sharedPrior('image_retrieval_recall@10', facts),
      candidates: runs.map(({ model, lnScale, sd }) => {
        return { ...candidate(model, lnScale), batch: 128, modelSd: sd };
      }),
      observations: runs.map(({ rate, early }, i) => {
        const point = { unique: pairs, samples: 30 * rate };
        return { candidate: i, point, value: early, queries: 958 };
      }),
    });
    const predicted = runs.map(({ rate }, i) =>
      posterior.predict(i, { unique: pairs, samples: 120 * rate }),
    );
    for (const [i, { band }] of predicted.entries()) {
      const { model, late } = at(runs, i);
      assert.ok(
        band[0] < late && late < band[1],
        `${model}: ${late} is not in ${band.join(' to ')}`,
      );
    }
    const values = predicted.map(({ value }) => value);
    assert.equal(values.indexOf(Math.max(...values)), 0);
    assert.equal(values.indexOf(Math.min(...values)), 4);
  });
});

describe('a pilot of few steps', () => {
  // R@10 of 931 product photographs, ModifiedResNet-Nano-64 with two layers of text, one thread, one seed.
  const runs = [
    { samples: 2944, value: 0.092 },
    { samples: 17_408, value: 0.73 },
    { samples: 31_360, value: 0.804 },
  ];

  it('does not hide how fast a model learns', () => {
    const [pilot, ...longer] = runs.map(({ samples, value }) => {
      return { candidate: 0, point: { unique: 7694, samples }, value, queries: 931 };
    });
    assert.ok(pilot);
    const posterior = new Posterior({
      shared: sharedPrior('image_retrieval_recall@10', { images: 931, classes: 0, chance: 0.015 }),
      candidates: [{ ...candidate('a', -0.18), batch: 128, modelSd: 0.3 }],
      observations: [pilot],
    });
    for (const { point, value } of longer) {
      const { value: predicted, band } = posterior.predict(0, point);
      assert.ok(Math.abs(predicted - value) < 0.08, `${predicted} is not ${value}`);
      assert.ok(band[0] < value && value < band[1], band.join(' to '));
    }
  });
});

describe('accuracy', () => {
  // Zero-shot on 1,326 products of 58 types after 1, 3 and 6 epochs of 6,040 others, one seed.
  const runs = [
    { model: 'ModifiedResNet-Nano-64', lnScale: 0, values: [0.274, 0.368, 0.425] },
    { model: 'ViT-Nano-16-64', lnScale: 0.85, values: [0.155, 0.218, 0.31] },
    { model: 'Mixer-Nano-64', lnScale: 0.5, values: [0.206, 0.327, 0.341] },
  ];
  const samples = [6080, 18_176, 36_288];
  const pointOf = (i: number) => ({ unique: 6040, samples: at(samples, i) });

  it('of longer runs is predicted by one epoch', () => {
    const posterior = new Posterior({
      shared: sharedPrior('acc1', { images: 1326, classes: 58, chance: 1 / 58 }),
      candidates: runs.map(({ model, lnScale }) => {
        return { ...candidate(model, lnScale), batch: 64, modelSd: 0.4 };
      }),
      observations: runs.map(({ values }, i) => {
        return { candidate: i, point: pointOf(0), value: at(values, 0), queries: 1326 };
      }),
    });
    for (const [i, { model, values }] of runs.entries()) {
      for (const length of [1, 2]) {
        const { value, band } = posterior.predict(i, pointOf(length));
        const measured = at(values, length);
        assert.ok(
          band[0] < measured && measured < band[1],
          `${model}: ${measured} is not in ${band.join(' to ')}`,
        );
        assert.ok(Math.abs(value - measured) < 0.1, `${model}: ${value} is not ${measured}`);
      }
    }
  });
});

describe('chancesOfBest', () => {
  it('counts the draws in which each prediction is the highest', () => {
    const of = (...draws: number[]) => ({
      value: 0,
      band: [0, 1] as const,
      draws,
    });
    assert.deepEqual(chancesOfBest([of(1, 2, 5, 4), of(2, 1, 4, 3)]), [0.75, 0.25]);
    assert.deepEqual(chancesOfBest([]), []);
  });
});
