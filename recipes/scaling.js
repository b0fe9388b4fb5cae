/**
 * What a training step computes, moves and keeps on 1, 8, 64 and 512 GPUs, from the model of a step in
 * `distributedStep`: no GPU runs. Prints the tables of docs/scaling.md, and at how many GPUs sending costs
 * more than a fifth of the time.
 *
 *     node recipes/scaling.js [--utilization 0.4] [--network 50e9] [--link 450e9] [--latency 1e-5] [--tokens 77]
 *
 * A second on any machine.
 */
import { parseArgs } from 'node:util';
import { modelConfig } from 'bantam';
import { distributedStep, fittingMicroBatch } from 'bantam/experimental';

const { values } = parseArgs({
  options: {
    utilization: { type: 'string', default: '0.4' },
    network: { type: 'string', default: '50e9' },
    link: { type: 'string', default: '450e9' },
    latency: { type: 'string', default: '1e-5' },
    tokens: { type: 'string', default: '77' },
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

/** The step with the largest micro-batch that fits. */
function stepOn(devices, { name, batchSize }) {
  const work = { model: modelConfig(name), batchSize, captionTokens: Number(values.tokens) };
  const microBatch = fittingMicroBatch(work, { ...cluster, devices });
  return microBatch === 0
    ? null
    : distributedStep({ ...work, microBatch }, { ...cluster, devices });
}

/** Three digits, or all of a whole number. */
const figure = (value) => (value >= 1000 ? value.toFixed(0) : value.toPrecision(3));
const megabytes = (bytes) => figure(bytes / 1e6);
const gigabytes = (bytes) => (bytes / 1e9).toFixed(1);
const milliseconds = (seconds) => figure(seconds * 1000);

/** @param {string[]} header @param {string[][]} rows */
function print(header, rows) {
  for (const cells of [header, header.map(() => '---:'), ...rows]) {
    console.log(`| ${cells.join(' | ')} |`);
  }
}

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
      `${(100 * step.efficiency).toFixed(0)} %`,
    ];
  });
  const header = [
    ...['GPUs', 'pairs', 'micro-batch', 'towers, TFLOP', 'similarities, TFLOP'],
    ...['features, MB sent', 'gradients, MB sent'],
    ...['activations, GB', 'memory, GB'],
    ...['products, ms', 'waiting, ms', 'efficiency'],
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
        model: modelConfig(training.name),
        batchSize: training.batchSize,
        captionTokens: Number(values.tokens),
      };
      const machines = { ...cluster, networkRate, devices: count };
      const microBatch = fittingMicroBatch(work, machines);
      return distributedStep({ ...work, microBatch }, machines).efficiency < 0.8;
    });
    return devices === undefined ? '> 4096' : String(devices);
  }),
]);
print(['training', ...rates.map((rate) => `${rate / 1e9} GB/s`)], rows);
