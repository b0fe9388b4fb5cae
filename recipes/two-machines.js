/**
 * Training on two machines with a network between them, measured beside the model of a step, `distributedStep`.
 * The machines are network namespaces with one core each; rate and delay of the network are set.
 *
 *     node recipes/two-machines.js [--seconds 10] [--batch 64] [--per-machine 1]… [--delay 5]… [--limit 200]…
 *         [--out runs/two-machines]
 *
 * First it fits a machine: two trainings of one process give the rate of products and the time that a step takes
 * whatever its batch; collectives alone, on the fastest network, give latency and bandwidth. A fit is kept in
 * `fit.json` of the folder. Then it trains with one and with two processes on each machine, at delays of 0, 1 and
 * 5 ms and at no limit, 1000 and 200 Mb/s, and prints samples a second and the fraction of the time in
 * collectives beside what the model predicts from the fit. Needs root, Linux, Python and two idle cores; six minutes.
 */
import './shared/one-sentence.js';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { ones } from '@bantam/torch';
import { joinGroup, worldFromEnvironment } from '@bantam/torch/distributed';
import { distributedStep, readRunConfig } from 'bantam/experimental';
import { Machines, whyNoMachines } from './shared/machines.js';
import { noiseImages } from './shared/noise-images.js';
import { startOnMachines } from './shared/train-processes.js';
import { mean, readRows } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    batch: { type: 'string', default: '64' },
    'per-machine': { type: 'string', multiple: true, default: ['1', '2'] },
    delay: { type: 'string', multiple: true, default: ['0', '1', '5'] },
    limit: { type: 'string', multiple: true, default: ['none', '1000', '200'] },
    out: { type: 'string', default: 'runs/two-machines' },
    // For the processes that measure collectives alone.
    collectives: { type: 'boolean', default: false },
  },
});
const { out } = values;
const batch = Number(values.batch);
const env = { OMP_NUM_THREADS: '1', TORCH_CPP_LOG_LEVEL: 'ERROR' };
/** Machine i has core i. */
const onCore = (machine, command, args) => ['taskset', ['-c', String(machine), command, ...args]];
const model = 'ViT-Nano-16-64';
/** Steps that are not measured. */
const warmUp = 3;

/** Float32 numbers of the collectives alone. */
const few = 1;
const many = 2 ** 20;
const most = 8 * many;

/** Seconds of single collectives, each of which begins when the one before has ended. */
async function measureCollectives() {
  const { rank, size, rendezvous } = worldFromEnvironment(process.env);
  const group = await joinGroup({ rank, size, rendezvous });
  const time = async (repetitions, collective) => {
    await group.barrier();
    await collective();
    const begun = performance.now();
    for (let i = 0; i < repetitions; i++) await collective();
    return (performance.now() - begun) / 1000 / repetitions;
  };
  const gather = (tensor) => async () => {
    for (const gathered of await group.allGather([tensor])) gathered.dispose();
  };
  const sum = (tensor) => () => group.allReduce([tensor]);
  const [small, large, largest] = [few, many, most].map((count) => ones([count]));
  const found = {
    sum: await time(50, sum(small)),
    gather: await time(50, gather(small)),
    broadcast: await time(50, () => group.broadcast([small])),
    sumLarge: await time(5, sum(large)),
    sumLargest: await time(2, sum(largest)),
    gatherLarge: await time(5, gather(large)),
  };
  await group.leave();
  if (rank === 0) console.log(JSON.stringify(found));
}

/** The collectives' times between two machines on a network. */
async function collectivesOn(network) {
  const machines = new Machines(2);
  try {
    await machines.connect(network);
    const script = [fileURLToPath(import.meta.url), '--collectives'];
    const ends = [0, 1].map((rank) => {
      const command = machines.command(rank, ...onCore(rank, process.execPath, script));
      const child = spawn(...command, {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: {
          ...process.env,
          ...env,
          RANK: String(rank),
          WORLD_SIZE: '2',
          MASTER_ADDR: machines.address(0),
          MASTER_PORT: '29500',
          GLOO_SOCKET_IFNAME: machines.interface,
        },
      });
      let text = '';
      child.stdout.on('data', (data) => (text += data));
      return new Promise((resolve) => child.once('close', () => resolve(text)));
    });
    const [first] = await Promise.all(ends);
    return JSON.parse(first);
  } finally {
    await machines.remove();
  }
}

/** Samples a second of a training, steps and the work between them included, and what it has in collectives. */
async function trainOn(network, { perMachine, machineCount = 2, batchSize = batch, data }) {
  const run = join(out, 'run');
  rmSync(run, { recursive: true, force: true });
  const machines = new Machines(2);
  const args = [
    ...['train', '--data', data, '--out', run, '--model', model, '--device', 'cpu'],
    ...['--budget', '1h', '--precision', 'fp32', '--validate', 'none'],
    ...[
      `train.batchSize=${batchSize}`,
      'train.workers=0',
      'train.checkpointMinutes=1000',
      'tokenizer.vocabSize=520',
      'tokenizer.contextLength=16',
    ].flatMap((setting) => ['--set', setting]),
  ];
  let running = null;
  try {
    await machines.connect(network);
    const size = perMachine * machineCount;
    running = startOnMachines(args, { machines, size, perMachine, wrap: onCore, env });
    const { processes } = running;
    const rows = () => readRows(join(run, 'metrics.jsonl'));
    const reached = async (condition) => {
      while (!condition()) {
        const ended = processes.find(({ status }) => status !== undefined);
        if (ended !== undefined) throw new Error(ended.text);
        await sleep(10);
      }
      return performance.now();
    };
    const begun = await reached(() => rows().length >= warmUp);
    const until = begun + 1000 * Number(values.seconds);
    const before = rows().length;
    await reached(() => performance.now() > until && rows().length > before + 4);
    const last = rows().length;
    const ended = await reached(() => rows().length > last);
    const measured = rows().slice(before, last + 1);
    const seconds = (ended - begun) / 1000;
    const computing = measured.reduce((sum, row, i) => {
      const previous = i === 0 ? rows()[before - 1] : measured[i - 1];
      return sum + (row.seconds - previous.seconds) * (1 - (row.communication ?? 0));
    }, 0);
    return {
      rate: (measured.length * batchSize) / seconds,
      stepSeconds: seconds / measured.length,
      communication: 1 - computing / seconds,
      dataWait: mean(measured.map(({ dataWait }) => dataWait)),
      config: readRunConfig(run),
    };
  } finally {
    for (const { child } of running?.processes ?? []) child.kill('SIGKILL');
    await Promise.all((running?.processes ?? []).map(({ ended }) => ended));
    await machines.remove();
  }
}

const percent = (fraction) => `${(100 * fraction).toFixed(0)} %`;
const ms = (seconds) => (1000 * seconds).toFixed(seconds < 0.01 ? 2 : 0);

function print(header, rows) {
  for (const cells of [header, header.map(() => '---:'), ...rows]) {
    console.log(`| ${cells.join(' | ')} |`);
  }
}

/** A number of a network, as tables show it. */
const shown = (megabits) => (megabits === Infinity ? 'none' : String(megabits));

/** FLOPs of a step of one process. */
function flopsOf(work) {
  const one = { devices: 1, devicesPerMachine: 1, peakFlops: 1, utilization: 1, memoryBytes: 1, linkRate: 1, networkRate: 1, latency: 0 }; // prettier-ignore
  return distributedStep(work, one).seconds.compute;
}

/** Rates of one machine and of the fastest network; prints the measurements behind them. */
async function fit(data) {
  // Seconds of a step are FLOPs over a rate, and what does not depend on the batch.
  const alone = { perMachine: 1, machineCount: 1, data };
  const whole = await trainOn({}, alone);
  const half = await trainOn({}, { ...alone, batchSize: batch / 2 });
  // Captions are shorter than the context, and as long in every step.
  const work = { model: whole.config.model, batchSize: batch, captionTokens: 8 };
  const flops = [flopsOf(work), flopsOf({ ...work, batchSize: batch / 2 })];
  const flopsPerSecond = (flops[0] - flops[1]) / (whole.stepSeconds - half.stepSeconds);
  const stepSeconds = whole.stepSeconds - flops[0] / flopsPerSecond;
  console.log(`One process: ${whole.rate.toFixed(1)} samples a second with batches of ${batch}, ${half.rate.toFixed(1)} with ${batch / 2}: ${(flopsPerSecond / 1e9).toFixed(1)} GFLOP/s and ${ms(stepSeconds)} ms in every step; ${percent(whole.dataWait)} of the time waits for data.\n`); // prettier-ignore

  console.log('Collectives of two processes alone, milliseconds:\n');
  const some = [
    { delay: 0, megabits: Infinity },
    { delay: 0, megabits: 200 },
    { delay: 1, megabits: Infinity },
    { delay: 5, megabits: Infinity },
  ];
  const found = [];
  for (const network of some) found.push(await collectivesOn(network));
  print(
    ['delay, ms', 'limit, Mb/s', 'sum of 4 B', 'gather of 4 B', 'broadcast of 4 B', 'gather of 4 MiB', 'sum of 4 MiB', 'sum of 32 MiB'], // prettier-ignore
    found.map(({ sum, gather, broadcast, gatherLarge, sumLarge, sumLargest }, i) => [
      some[i].delay,
      shown(some[i].megabits),
      ...[sum, gather, broadcast, gatherLarge, sumLarge, sumLargest].map(ms),
    ]),
  );
  const [{ sumLargest, sum }] = found;
  // Of two processes each sends as many bytes as it has, in both phases of a sum together.
  const bandwidth = (most * 4) / sumLargest;
  console.log(`\nThe fastest network: ${(bandwidth / 1e6).toFixed(0)} MB/s, ${ms(sum / 2)} ms for a message.\n`); // prettier-ignore
  return { work, flopsPerSecond, stepSeconds, bandwidth, latency: sum / 2 };
}

/** The model's prediction for some processes on each of two machines. */
function predict({ work, flopsPerSecond, stepSeconds, bandwidth, latency }, network, perMachine) {
  return distributedStep(work, {
    devices: 2 * perMachine,
    devicesPerMachine: perMachine,
    // The processes of a machine share its core.
    peakFlops: flopsPerSecond / perMachine,
    utilization: 1,
    stepSeconds: stepSeconds * perMachine,
    memoryBytes: Infinity,
    linkRate: bandwidth,
    networkRate: Math.min(bandwidth, (network.megabits * 1e6) / 8),
    latency: latency + network.delay / 1000,
    route: 'ring',
  }).seconds;
}

async function main() {
  const reason = whyNoMachines();
  if (reason !== null) throw new Error(`There are no machines: ${reason}.`);
  mkdirSync(out, { recursive: true });
  const data = await noiseImages(join(out, 'images'), { count: 512, size: 64 });
  const kept = join(out, 'fit.json');
  if (!existsSync(kept)) writeFileSync(kept, JSON.stringify(await fit(data)));
  const fitted = JSON.parse(readFileSync(kept, 'utf8'));
  const rows = [];
  for (const perMachine of values['per-machine'].map(Number)) {
    for (const delay of values.delay.map(Number)) {
      for (const limit of values.limit) {
        const network = { delay, megabits: limit === 'none' ? Infinity : Number(limit) };
        const measured = await trainOn(network, { perMachine, data });
        const { total, exposed } = predict(fitted, network, perMachine);
        rows.push([
          2 * perMachine,
          delay,
          limit,
          measured.rate.toFixed(1),
          (batch / total).toFixed(1),
          ((measured.rate * total) / batch).toFixed(2),
          percent(measured.communication),
          percent(exposed / total),
        ]);
      }
    }
  }
  print(
    ['processes', 'delay, ms', 'limit, Mb/s', 'samples/s', 'predicted', 'measured ÷ predicted', 'in collectives', 'predicted'], // prettier-ignore
    rows,
  );
}

if (values.collectives) await measureCollectives();
else await main();
