/**
 * Do the fitted laws predict what they have not seen? Fits the small scales of two published grids and
 * predicts the larger ones; prints errors of the prediction in points and how many bands held.
 *
 *     node recipes/published-fits.js [--confidence 0.8]
 *
 * The grids, with their sources, are in packages/bantam/fixtures/study/published-grids.json. Takes
 * seconds on one core.
 */
import './shared/one-sentence.js';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import {
  additiveLaw,
  bootstrapFit,
  monotoneCurve,
  Posterior,
  powerLaw,
  repeatsLaw,
  utilityLaw,
} from 'bantam/experimental';
import { mean } from './shared/runs.js';

const { values } = parseArgs({ options: { confidence: { type: 'string', default: '0.8' } } });
const confidence = Number(values.confidence);
const file = new URL('../packages/bantam/fixtures/study/published-grids.json', import.meta.url);
const { scalingDown, dataComp } = JSON.parse(readFileSync(file, 'utf8'));

/** Points of the first grid: different pairs, samples seen, error. */
const repeated = Object.entries(scalingDown.quantity).flatMap(([size, errors]) =>
  scalingDown.epochs.map((epochs, i) => ({
    x: { unique: Number(size), samples: Number(size) * epochs },
    epochs,
    error: errors[i] / 100,
  })),
);

/** Points of the second grid: model, samples seen, error. */
const grid = Object.entries(dataComp.models).flatMap(([model, { gflops, accuracy }]) =>
  dataComp.samples.flatMap((samples, i) =>
    accuracy[i] === null
      ? []
      : [
          {
            model,
            x: { size: gflops, samples },
            samples,
            flops: gflops * samples,
            error: 1 - accuracy[i],
          },
        ],
  ),
);

/** Errors of predictions in points, and the fraction of bands that held. */
function judge(name, train, test, predict) {
  const found = test.map((point) => {
    const { error, band } = predict(point);
    const held = band === null ? null : band[0] <= point.error && point.error <= band[1];
    return { off: 100 * (error - point.error), held, width: band && 100 * (band[1] - band[0]) };
  });
  const rms = Math.sqrt(mean(found.map(({ off }) => off ** 2)));
  const bias = mean(found.map(({ off }) => off));
  const worst = Math.max(...found.map(({ off }) => Math.abs(off)));
  const bands = found.filter(({ held }) => held !== null);
  const cells = [
    name,
    train.length,
    test.length,
    rms.toFixed(1),
    bias.toFixed(1),
    worst.toFixed(1),
    bands.length === 0 ? '–' : mean(bands.map(({ width }) => width)).toFixed(1),
    bands.length === 0 ? '–' : `${bands.filter(({ held }) => held).length} of ${bands.length}`,
  ];
  return `| ${cells.join(' | ')} |`;
}

function head(title) {
  const columns = ['fit', 'points', 'predicted', 'rms', 'bias', 'worst', 'mean band', 'bands held'];
  return `\n${title}\n\n| ${columns.join(' | ')} |\n|${columns.map((_, i) => (i === 0 ? ' --- |' : ' ---: |')).join('')}`;
}

/** Fits a law to some points and judges it on others. */
function check(law, name, train, test, { x = (point) => point.x, group = () => undefined } = {}) {
  const fit = bootstrapFit(
    law,
    train.map((point) => ({ x: x(point), error: point.error, group: group(point) })),
    { resamples: 200 },
  );
  console.log(
    judge(`${law.name}: ${name}`, train, test, (point) => fit.predict(x(point), confidence)),
  );
  return fit;
}

/**
 * The planner's learning curves, fitted to all models at once with a prior that knows nothing of these
 * data: where learning sets in, how suddenly, and how much repeats are worth.
 */
function checkCurves(name, train, test, { models, point, middle }) {
  const belief = (mean, sd) => ({ mean, sd });
  const shared = {
    lnScale: belief(Math.log(middle), 2),
    lnOnset: belief(Math.log(2), 1),
    lnTail: belief(Math.log(0.3), 1),
    logitFloor: belief(-0.6, 1),
    lnRepeats: belief(Math.log(8), 0.7),
    start: 0.999,
  };
  const least = Math.min(...models.map(({ gflops }) => gflops));
  const posterior = new Posterior({
    shared,
    candidates: models.map(({ model, gflops }) => ({
      model,
      batch: 0,
      lnScale: 0,
      modelSd: 0.5,
      ownSd: 0.05,
      lnRepeats: 0,
      floor: (gflops / least) ** -0.279,
    })),
    observations: train.map((one) => ({
      candidate: models.findIndex(({ model }) => model === one.model),
      point: point(one),
      value: 1 - one.error,
      queries: 50_000,
    })),
  });
  const line = judge(`learning curves: ${name}`, train, test, (one) => {
    const candidate = models.findIndex(({ model }) => model === one.model);
    const { value, band } = posterior.predict(candidate, point(one));
    return { error: 1 - value, band: [1 - band[1], 1 - band[0]] };
  });
  console.log(line);
}

console.log(head('Scaling (Down) CLIP, figure 1: error of ViT-B/32 on ImageNet in percent'));
for (const law of [repeatsLaw(2e8), utilityLaw(2e8)]) {
  const small = repeated.filter(({ x }) => x.unique <= 1e8);
  const large = repeated.filter(({ x }) => x.unique > 1e8);
  check(law, '25M to 100M pairs, predicts 200M and 400M', small, large);
  const few = repeated.filter(({ epochs }) => epochs <= 8);
  const many = repeated.filter(({ epochs }) => epochs > 8);
  check(law, '2 to 8 epochs, predicts 16 and 32', few, many);
  const { parameters, intervals } = check(law, 'all points, on themselves', repeated, repeated);
  const last = law.parameters.at(-1);
  const [low, high] = intervals[last].map((bound) => bound.toPrecision(3));
  console.error(`${law.name}: ${last} = ${parameters[last].toPrecision(3)} (${low} to ${high})`);
}

{
  const setting = { models: [{ model: undefined, gflops: 1 }], point: ({ x }) => x, middle: 2e8 };
  const [small, large] = [repeated.filter(({ x }) => x.unique <= 1e8), repeated.filter(({ x }) => x.unique > 1e8)]; // prettier-ignore
  checkCurves('25M to 100M pairs, predicts 200M and 400M', small, large, setting);
  const [few, many] = [repeated.filter(({ epochs }) => epochs <= 8), repeated.filter(({ epochs }) => epochs > 8)]; // prettier-ignore
  checkCurves('2 to 8 epochs, predicts 16 and 32', few, many, setting);
}

console.log(head('DataComp grid: error of seven models on ImageNet'));
for (const [least, most] of [
  [3e7, 6.4e7],
  [3e7, 3e9],
  [1.28e8, 3e9],
]) {
  const train = grid.filter(({ samples }) => samples <= least);
  const test = grid.filter(({ samples }) => samples > least && samples <= most);
  const name = `up to ${least / 1e6}M samples, predicts up to ${most / 1e6}M`;
  // The peculiarities of a model are in all of its points, so these are resampled together.
  const group = ({ model }) => model;
  check(additiveLaw({ size: 15, samples: 2e7 }), name, train, test, { group });
  checkCurves(name, train, test, {
    models: Object.entries(dataComp.models).map(([model, { gflops }]) => ({ model, gflops })),
    // Every sample is another one.
    point: ({ samples }) => ({ unique: 1e15, samples }),
    middle: 3e7,
  });
}
// The frontier: points that no other reaches with as many FLOPs.
const frontier = grid.filter((point) =>
  grid.every((other) => other === point || other.flops > point.flops || other.error > point.error),
);
for (const [least, most] of [
  [1e9, 1e10],
  [1e9, 1e12],
  [1e10, 1e12],
]) {
  const train = frontier.filter(({ flops }) => flops <= least);
  const test = frontier.filter(({ flops }) => flops > least && flops <= most);
  const name = `frontier up to ${least.toExponential(0)} GFLOPs, predicts up to ${most.toExponential(0)}`;
  check(powerLaw(3e8), name.replaceAll('+', ''), train, test, { x: ({ flops }) => flops });
}
// Inside the grid: every inner point by its model's others.
const inner = grid.filter(({ samples }) => samples > 1.28e6 && samples < 3e9);
const line = judge(
  'monotone curve: each inner point by the others of its model',
  grid,
  inner,
  (point) => {
    const others = grid.filter((one) => one.model === point.model && one !== point);
    const curve = monotoneCurve(others.map(({ samples, error }) => ({ x: samples, y: error })));
    return { error: curve.at(point.samples), band: null };
  },
);
console.log(line);
