/**
 * What a training step computes, moves and keeps on 1, 8, 64 and 512 GPUs, from the model of a step in
 * `distributedStep`: no GPU runs. Prints the tables of docs/scaling.md, for steps as Bantam takes them and for
 * steps with local losses, and at how many GPUs such steps wait for a fifth of the time.
 *
 *     node recipes/scaling.js [--utilization 0.4] [--network 50e9] [--link 450e9] [--latency 1e-5] [--tokens 77]
 *     node recipes/scaling.js --simulate 512 [--model ViT-Nano-16-64] [--pairs 8192] [--precision fp32]
 *
 * A second on any machine. `--simulate N` takes a real step of the first of N processes, whose others only echo
 * what it says, and prints the collectives, bytes and memory of it beside the model's; a minute.
 */
import './shared/one-sentence.js';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { memoryStats, resetPeakBytes } from '@bantam/torch';
import { modelConfig } from 'bantam';
import { distributedStep, fittingMicroBatch, RecordingGroup, World } from 'bantam/experimental';
import { readySteps } from './shared/ready-steps.js';

const { values } = parseArgs({
  options: {
    utilization: { type: 'string', default: '0.4' },
    network: { type: 'string', default: '50e9' },
    link: { type: 'string', default: '450e9' },
    latency: { type: 'string', default: '1e-5' },
    tokens: { type: 'string', default: '77' },
    simulate: { type: 'string' },
    model: { type: 'string', default: 'ViT-Nano-16-64' },
    pairs: { type: 'string', default: '8192' },
    precision: { type: 'string', default: 'fp32' },
  },
});

/** NVIDIA's data sheet of the H100 SXM: dense bf16, memory; NVLink and a 400 Gb/s adapter for each GPU. */
const cluster = {
  devicesPerMachine: 8,
  peakFlops: 989e12,
  utilization: Number(values.utilization),
  memoryBytes: 80e9,
  linkRate: Number(values.link),
  networkRate: Number(values.network),
  latency: Number(values.latency),
};
const trainings = [
  { name: 'ViT-B-32', batchSize: 16_384 },
  { name: 'ViT-L-14', batchSize: 32_768 },
];
const sizes = [1, 8, 64, 512];

/** A change for many devices, which Bantam's step does not have. */
const spread = { losses: 'local' };

/** The step with the largest micro-batch that fits. */
function stepOn(devices, { name, batchSize }, changes = {}) {
  const captionTokens = Number(values.tokens);
  const work = { model: modelConfig(name), batchSize, captionTokens, ...changes };
  const microBatch = fittingMicroBatch(work, { ...cluster, devices });
  return microBatch === 0
    ? null
    : distributedStep({ ...work, microBatch }, { ...cluster, devices });
}

/** Three digits, or all of a whole number. */
const figure = (value) => (value >= 1000 ? value.toFixed(0) : value.toPrecision(3));
const megabytes = (bytes) => figure(bytes / 1e6);
const gigabytes = (bytes) => (bytes / 1e9).toFixed(1);
const percent = (fraction) => `${(100 * fraction).toFixed(0)} %`;
const milliseconds = (seconds) => figure(seconds * 1000);

/** @param {string[]} header @param {string[][]} rows */
function print(header, rows) {
  for (const cells of [header, header.map(() => '---:'), ...rows]) {
    console.log(`| ${cells.join(' | ')} |`);
  }
}

/** A step of the first of many processes beside the model of it. */
async function simulate(devices) {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-scaling-'));
  const group = new RecordingGroup(devices);
  const world = new World(group, { localSize: cluster.devicesPerMachine });
  const batchSize = Number(values.pairs);
  const { model, precision } = values;
  try {
    const training = await readySteps({ model, batchSize, precision, folder, world });
    // The first step makes gradients and the optimizer's moments.
    await training.step();
    const standing = memoryStats().liveBytes;
    group.collectives.length = 0;
    resetPeakBytes();
    await training.step();
    const peak = memoryStats().peakBytes;
    // The benchmark's captions are padded to the longest of a micro-batch.
    const captionTokens = training.captionTokens();
    const step = distributedStep(
      { model: modelConfig(model), batchSize, captionTokens },
      { ...cluster, devices },
    );
    const { memory, sent } = step;
    const scale = precision === 'fp32' ? 2 : 1;
    const sentBytes = (kind, dtype, last) =>
      group.collectives
        .flatMap((one) => (one.kind === kind ? one.tensors.slice(last) : []))
        .reduce((sum, tensor) => sum + (tensor.dtype === dtype ? tensor.bytes : 0), 0);
    const count = (kind) => group.collectives.filter((one) => one.kind === kind).length;
    print(
      ['', 'step', 'model'],
      [
        [
          'gathers, without the orders between steps',
          count('gather'),
          step.collectives.gathers - 2,
        ],
        ['sums', count('sum') + count('max') + count('min'), step.collectives.sums],
        ['broadcasts', count('broadcast'), step.collectives.broadcasts],
        ['features, MB sent', megabytes((devices - 1) * sentBytes('gather', 'float32', 0)), megabytes(sent.features)], // prettier-ignore
        ['gradients, MB sent', megabytes((2 * (devices - 1) * sentBytes('sum', 'float32', 1)) / devices), megabytes(sent.gradients)], // prettier-ignore
        ['weights and moments, MB', megabytes(standing), megabytes(memory.weights + memory.optimizer)], // prettier-ignore
        ['gradients, activations, features, similarities, MB', megabytes(peak - standing), megabytes(memory.gradients + scale * memory.activations + memory.features + memory.similarities)], // prettier-ignore
      ].map((row) => row.map(String)),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function printTables() {
  for (const training of trainings) {
    console.log(`\n**${training.name}, ${training.batchSize} pairs**\n`);
    const rows = sizes.map((devices) => {
      const step = stepOn(devices, training);
      if (step === null) return [String(devices), 'does not fit'];
      const { flops, sent, memory, seconds } = step;
      return [
        String(devices),
        String(step.samples),
        String(step.microBatch),
        figure(flops.towers / 1e12),
        figure(flops.similarities / 1e12),
        megabytes(sent.features + sent.featureGradients),
        megabytes(sent.gradients),
        gigabytes(memory.activations),
        gigabytes(memory.total),
        milliseconds(seconds.compute),
        milliseconds(seconds.exposed),
        percent(step.efficiency),
        percent(stepOn(devices, training, spread).efficiency),
      ];
    });
    const header = [
      ...['GPUs', 'pairs', 'micro-batch', 'towers, TFLOP', 'similarities, TFLOP'],
      ...['features, MB sent', 'gradients, MB sent'],
      ...['activations, GB', 'memory, GB'],
      ...['products, ms', 'waiting, ms', 'efficiency', 'local losses'],
    ];
    print(header, rows);
  }

  console.log(
    '\nGPUs from which waiting takes a fifth of the step, by bytes a second of the network:\n',
  );
  const rates = [12.5e9, 25e9, 50e9, 100e9];
  const rows = trainings.map((training) => [
    `${training.name}, ${training.batchSize}`,
    ...rates.map((networkRate) => {
      const devices = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096].find((count) => {
        const work = {
          ...spread,
          model: modelConfig(training.name),
          batchSize: training.batchSize,
        };
        const machines = { ...cluster, networkRate, devices: count };
        const captionTokens = Number(values.tokens);
        const microBatch = fittingMicroBatch({ ...work, captionTokens }, machines);
        const { seconds } = distributedStep({ ...work, captionTokens, microBatch }, machines);
        return seconds.exposed > 0.2 * seconds.total;
      });
      return devices === undefined ? '> 4096' : String(devices);
    }),
  ]);
  print(['training', ...rates.map((rate) => `${rate / 1e9} GB/s`)], rows);
}

if (values.simulate === undefined) printTables();
else await simulate(Number(values.simulate));
