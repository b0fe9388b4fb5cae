import type { CaseResult, Results, Slice } from './results.js';
import { plainSettings } from './trials.js';

const slice = (steps: number, seconds: number): Slice => {
  return { steps, seconds, cpuSeconds: 2 * seconds, othersCpuSeconds: 0, foreignCpuSeconds: 0 };
};

/** A training case of 10 samples a step: Bantam does 20, 25 and 30 samples/s, the baseline 10 each. */
export const measuredCase: CaseResult = {
  name: 'train/ViT-B-32/bf16',
  kind: 'train',
  precision: 'bf16',
  samplesPerStep: 10,
  model: 'ViT-B-32',
  prepared: {
    parameters: 151_277_313,
    tokens: { mean: 12, longest: 21, context: 77 },
    flops: { image: 9e9, text: 1e9, textPadded: 6e9 },
  },
  agreement: { agrees: true, differences: { loss: 1e-4, gradNorm: 1e-3 } },
  trials: [
    { settings: plainSettings, seconds: 2 },
    { settings: { ...plainSettings, fusedAdamW: true }, seconds: 1 },
    { settings: { ...plainSettings, compile: true }, seconds: null, error: 'no compiler' },
  ],
  settings: { ...plainSettings, fusedAdamW: true },
  repetitions: [2, 2.5, 3].map((steps) => ({
    bantam: slice(steps, 1),
    baseline: slice(1, 1),
    gflops: 1500,
  })),
  peakBytes: { bantam: 3e9, baseline: 6e9 },
};

export const measuredResults: Results = {
  format: 2,
  command: 'run',
  commandLine: 'npm run bench -- run',
  date: '2030-01-02T03:04:05.000Z',
  machine: {
    cpu: 'A CPU',
    cores: 2,
    memoryBytes: 16e9,
    platform: 'linux-x64',
    node: 'v20.0.0',
    libtorch: '2.13.0',
    baseline: 'OpenCLIP 3.3.0 on PyTorch 2.13.0',
    threads: 2,
  },
  cases: [measuredCase],
  skipped: [{ name: 'train/RN50/bf16', reason: 'Bantam has no preset RN50 yet.' }],
};
