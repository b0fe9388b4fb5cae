import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { normalize, tensor } from '@bantam/torch';
import { at } from '../../base/at.js';
import { storedJson } from '../../test-support/stored-tensors.js';
import { associationScores, cuePrompt } from '../metrics/associations.js';
import { calibration } from '../metrics/calibration.js';
import { classReports, macroF1 } from '../metrics/classification.js';
import { groupScores } from '../metrics/groups.js';
import { effectiveRobustness, logit, robustnessLine } from './effective-robustness.js';
import { clusteredWilson, meanInterval, medianInterval, wilson } from './intervals.js';
import { mcnemar, pairedBootstrap } from './paired-tests.js';

interface Expected {
  readonly wilson: readonly { hits: number; n: number; interval: readonly [number, number] }[];
  readonly mcnemar: readonly { b: number; c: number; p: number }[];
  readonly report: { truth: readonly number[]; answer: readonly number[]; f1: number };
  readonly jaccard: readonly {
    similarity: readonly number[];
    right: readonly number[];
    score: number;
  }[];
  readonly calibration: {
    image: number[][];
    weights: number[][];
    labels: readonly number[];
    scale: number;
    ece: number;
    nll: number;
    temperature: number;
  };
}
const expected = storedJson('statistics') as Expected;

function assertNear(actual: number, wanted: number, tolerance: number, what = ''): void {
  assert.ok(Math.abs(actual - wanted) <= tolerance, `${what} ${actual} is not ${wanted}`);
}

describe('intervals', () => {
  it("are statsmodels' Wilson intervals, near 0 and 1 as well", () => {
    for (const { hits, n, interval } of expected.wilson) {
      wilson(hits, n).forEach((bound, i) => {
        assertNear(bound, at(interval, i), 1e-12, `${hits} of ${n}`);
      });
    }
  });

  it('count clusters whose trials agree once, and independent trials each', () => {
    const together = Array.from({ length: 40 }, (_, i) => ({ hits: i < 10 ? 5 : 0, trials: 5 }));
    const [low, high] = clusteredWilson(together);
    wilson(10, 40).forEach((bound, i) => {
      assertNear(at([low, high], i), bound, 1e-12);
    });
    const apart = Array.from({ length: 200 }, (_, i) => ({ hits: i < 50 ? 1 : 0, trials: 1 }));
    clusteredWilson(apart).forEach((bound, i) => {
      assertNear(bound, at(wilson(50, 200), i), 1e-12);
    });
    assert.deepEqual(clusteredWilson([{ hits: 0, trials: 5 }]), wilson(0, 1));
  });

  it('of a mean and of a median are those of the textbooks', () => {
    meanInterval([1, 2, 3, 4]).forEach((bound, i) => {
      assertNear(bound, 2.5 + (i === 0 ? -1 : 1) * 1.959963984540054 * Math.sqrt(5 / 3 / 4), 1e-12);
    });
    const sorted = Array.from({ length: 100 }, (_, i) => i + 1);
    assert.deepEqual(medianInterval(sorted), [40, 61]);
  });
});

describe('mcnemar', () => {
  it("has statsmodels' exact p-values", () => {
    for (const { b, c, p } of expected.mcnemar) {
      assertNear(mcnemar(b, c).pValue, p, 1e-10 * Math.max(p, 1e-3), `${b} and ${c}`);
    }
  });
});

describe('pairedBootstrap', () => {
  const differences = Float64Array.from({ length: 400 }, (_, i) => (i % 4 === 0 ? 1 : 0));

  it('covers the mean with the width that the standard error gives, and repeats itself', () => {
    const { difference, interval } = pairedBootstrap(differences);
    assert.equal(difference, 0.25);
    const error = 1.96 * Math.sqrt((0.25 * 0.75) / 400);
    assertNear(interval[0], 0.25 - error, 0.006);
    assertNear(interval[1], 0.25 + error, 0.006);
    assert.deepEqual(pairedBootstrap(differences), { difference, interval });
    assert.notDeepEqual(pairedBootstrap(differences, { seed: 1 }).interval, interval);
  });

  it('refuses no images', () => {
    assert.throws(() => pairedBootstrap(new Float64Array(0)), /no images to compare/);
  });
});

describe('effective robustness', () => {
  it('is accuracy above the line of the baselines on logit axes', () => {
    const expit = (x: number): number => 1 / (1 + Math.exp(-x));
    const points = [0.3, 0.5, 0.8].map((reference) => ({
      reference,
      shifted: expit(0.9 * logit(reference) - 0.7),
    }));
    const line = robustnessLine(points);
    assertNear(line.slope, 0.9, 1e-12);
    assertNear(line.intercept, -0.7, 1e-12);
    const robust = { reference: 0.6, shifted: expit(0.9 * logit(0.6) - 0.7) + 0.1 };
    assertNear(effectiveRobustness(robust, line), 0.1, 1e-12);
    assert.throws(() => robustnessLine(points.slice(0, 1)), /One model makes no reference line/);
  });
});

describe('classification metrics', () => {
  it("have scikit-learn's macro F1 over the classes that occur", () => {
    const { truth, answer, f1 } = expected.report;
    const reports = classReports({
      classes: Array.from({ length: 7 }, (_, id) => `class ${id}`),
      labels: Int32Array.from(truth),
      predicted: Int32Array.from(answer),
    });
    assertNear(macroF1(reports), f1, 1e-12);
  });

  it('find the worst group, without Other', () => {
    const groups = ['Asia', 'Asia', 'Europe', 'Europe', 'Other', undefined];
    const { worst, groups: all } = groupScores('region', Uint8Array.of(1, 0, 1, 1, 0, 0), groups);
    assert.deepEqual([worst.name, worst.recall, worst.samples], ['Asia', 0.5, 2]);
    assert.deepEqual(
      all.map(({ name }) => name),
      ['Asia', 'Europe', 'Other'],
    );
    assert.throws(() => groupScores('region', Uint8Array.of(1), [undefined]), /"region"/);
  });
});

describe('calibration', () => {
  const { image, weights, labels, scale, ece, nll, temperature } = expected.calibration;
  const input = {
    image: tensor(image),
    weights: tensor(weights),
    labels: Int32Array.from(labels),
    scale,
  };

  it('has the error and likelihood of the reference, and the best temperature', () => {
    const found = calibration(input);
    assertNear(found.ece, ece, 1e-6, 'ece');
    assertNear(found.nll, nll, 1e-5, 'nll');
    assertNear(found.fitted.temperature, temperature, 1e-4, 'temperature');
    assert.ok(found.fitted.nll < found.nll && found.fitted.ece < found.ece);
    const counted = found.bins.reduce((sum, { samples }) => sum + samples, 0);
    assert.equal(counted, labels.length);
  });
});

describe('associations', () => {
  it("have scikit-learn's Jaccard scores, averaged", () => {
    const cues = expected.jaccard;
    const width = at(cues, 0).similarity.length;
    // Cosines that are proportional to the stored similarities.
    const text = normalize(tensor(cues.map(({ similarity }) => [...similarity])));
    const image = tensor(
      Array.from({ length: width }, (_, i) =>
        Array.from({ length: width }, (__, j) => (i === j ? 1 : 0)),
      ),
    );
    const candidates = Array.from({ length: width }, (_, i) => i);
    const items = cues.map(({ right }, i) => ({
      cue: `cue ${i}`,
      candidates,
      associations: right,
    }));
    const { metrics, chance } = associationScores({ items, text, image });
    const mean = cues.reduce((sum, { score }) => sum + score, 0) / cues.length;
    assertNear(metrics.avg_jaccard_score ?? NaN, mean, 1e-12);
    assertNear(metrics['jaccard_score_10-12'] ?? NaN, mean, 1e-12);
    assert.equal(metrics['jaccard_score_5-6'], null);
    // Of 10 candidates 4 at random: Σ h/(8−h)·C(4,h)C(6,4−h)/C(10,4).
    assertNear(
      chance.avg_jaccard_score ?? NaN,
      (80 / 7 + (90 * 2) / 6 + (24 * 3) / 5 + 1) / 210,
      1e-12,
    );
  });

  it('take prompts as WinoGAViL writes them, and refuse cues without associations', () => {
    assert.deepEqual(['Werewolf', 'astronaut'].map(cuePrompt), ['A werewolf', 'An astronaut']);
    const items = [{ cue: 'moon', candidates: [0], associations: [] }];
    assert.throws(
      () => associationScores({ items, text: tensor([[1]]), image: tensor([[1]]) }),
      /The cue "moon" \(item 1\) has no associations/,
    );
  });
});
