/**
 * Compares a device with the CPU: features, losses and gradients of one small model of each kind, and the
 * end of fifty steps. Prints JSON.
 *
 *     node scripts/check-device/parity.js DEVICE [--short]
 */
import {
  abs,
  AdamW,
  at,
  autocast,
  cat,
  detach,
  deviceType,
  flatten,
  max,
  noGrad,
  resolveDevice,
  scope,
  sub,
  to,
} from '@bantam/torch';
import { presets } from 'bantam';
import {
  createBench,
  cut,
  masked,
  numbersOf,
} from '../../packages/bantam/dist/test-support/strategy-bench.js';
import { addGradients } from '../../packages/bantam/dist/train/loop/gradients.js';

/**
 * The largest differences that are taken for rounding. Features are unit vectors; losses and gradients
 * differ relative to the CPU's, a gradient to the largest number of its tensor or 10⁻³. float32 without
 * TF32, which the caller turns off; bf16 keeps eight bits.
 */
const TOLERANCES = { features: 1e-4, featuresBf16: 5e-2, loss: 1e-4, gradients: 5e-3 };

const STEPS = { count: 50, short: 5, tolerance: { float64: 1e-6, float32: 1e-2 } };

const [name = 'auto', ...flags] = process.argv.slice(2);
const device = resolveDevice(name);
const short = flags.includes('--short');

/** @param {import('@bantam/torch').Tensor} tensor */
const onCpu = (tensor) => to(detach(tensor), { device: 'cpu', dtype: 'float64' });

/** @param {import('@bantam/torch').Tensor} tensor */
const largest = (tensor) => max(abs(tensor)).item();

/** The largest difference, of the largest number of what is expected or of 10⁻³. */
function relativeDifference(actual, expected) {
  return scope(() => largest(sub(actual, expected)) / Math.max(1e-3, largest(expected)));
}

/**
 * Features of both towers, of two samples.
 *
 * @param {ReturnType<typeof createBench>} bench
 * @param {import('@bantam/torch').FloatDType} dtype
 */
function featuresOf({ model, batch }, dtype) {
  const [{ image }] = cut(batch, [2]).map(({ load }) => load().images);
  const [{ ids }] = cut(batch, [2]).map(({ load }) => load());
  model.eval();
  const found = noGrad(() =>
    autocast(dtype, () => [model.encodeImage(image), model.encodeText(ids)], { device }),
  );
  model.train();
  return cat(found.map((features) => onCpu(flatten(features))));
}

/** @param {string} preset */
function comparePreset(preset) {
  return scope(() => compare(preset));
}

/** @param {string} preset */
function compare(preset) {
  const config = presets.get(preset);
  const strategy = config.decoder === null ? 'clip' : 'coca';
  const [cpu, other] = /** @type {const} */ (['cpu', device]).map((where) => {
    const bench = createBench(strategy, { config, device: where, dtype: 'float32' });
    const features = featuresOf(bench, 'float32');
    const inBf16 = featuresOf(bench, 'bfloat16');
    const losses = numbersOf(addGradients(cut(bench.batch, [2]), bench.options(1, 0.3)));
    const gradients = [...bench.model.namedParameters()].flatMap(([key, { grad }]) =>
      grad === null ? [] : [[key, onCpu(grad)]],
    );
    bench.model.dispose();
    return { features, inBf16, losses: Object.values(losses), gradients };
  });
  const relative = cpu.gradients.map(([key, expected], i) => {
    const [found, actual] = at(other.gradients, i);
    if (found !== key)
      throw new RangeError(`${preset}: ${key} has a gradient on one device alone.`);
    return relativeDifference(actual, expected);
  });
  const losses = cpu.losses.map((loss, i) => Math.abs(at(other.losses, i) / loss - 1));
  return {
    preset,
    features: largest(sub(other.features, cpu.features)),
    featuresBf16: largest(sub(other.inBf16, cpu.features)),
    loss: Math.max(...losses),
    gradients: Math.max(...relative),
  };
}

/** Losses and weights after steps of AdamW on one batch. MPS has no float64. */
function compareSteps() {
  const dtype = deviceType(device) === 'mps' ? 'float32' : 'float64';
  const count = short ? STEPS.short : STEPS.count;
  const [cpu, other] = /** @type {const} */ (['cpu', device]).map((where) => {
    const bench = createBench('clip', { config: masked, device: where, dtype });
    const optimizer = new AdamW(bench.model, { lr: 3e-3 });
    const losses = [];
    for (let step = 1; step <= count; step++) {
      optimizer.zeroGrad();
      const found = numbersOf(addGradients(cut(bench.batch, [8]), bench.options(step, 0.3)));
      losses.push(...Object.values(found));
      optimizer.step();
    }
    const weights = bench.model.parameters().map((weight) => onCpu(weight));
    return { losses, weights };
  });
  const weights = cpu.weights.map((expected, i) =>
    relativeDifference(at(other.weights, i), expected),
  );
  return {
    ...{ steps: count, dtype, first: at(cpu.losses, 0), last: at(cpu.losses, -1) },
    loss: Math.max(...cpu.losses.map((loss, i) => Math.abs(at(other.losses, i) / loss - 1))),
    weights: Math.max(...weights),
    tolerance: STEPS.tolerance[dtype],
  };
}

const small = [...presets.keys()].filter((preset) => /-Nano-(16-)?64$/.test(preset));
const compared = (short ? small.slice(0, 2) : small).map((preset) => {
  const found = comparePreset(preset);
  const over = Object.keys(TOLERANCES).filter((what) => !(found[what] <= TOLERANCES[what]));
  return { ...found, over };
});
const steps = compareSteps();
const passed =
  compared.every(({ over }) => over.length === 0) &&
  steps.loss <= steps.tolerance &&
  steps.weights <= steps.tolerance &&
  steps.last < steps.first;
console.log(JSON.stringify({ device, passed, tolerances: TOLERANCES, presets: compared, steps }));
process.exitCode = passed ? 0 : 1;
