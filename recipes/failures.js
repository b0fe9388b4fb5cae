/**
 * Failures of a training by several processes: again and again a random process is killed, stopped or cut off
 * from the network, or from one other, at a random moment. Each training must end within a minute, in sentences
 * that name the process, with a checkpoint; resumed, it must end with the bits of a training that nothing interrupted.
 *
 *     node recipes/failures.js [--trials 30] [--seed 1] [--processes 3] [--only 7]… [--out runs/failures]
 *
 * Processes are started by `bantam train --processes`, or with torchrun's variables on machines of their own,
 * which are network namespaces. Those need root and Linux; elsewhere there are no cut links. A minute for each
 * trial, most of it waiting, on two cores. Prints a table; exit status 1 if a trial ends otherwise.
 */
import './shared/one-sentence.js';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { CounterRng } from 'bantam/experimental';
import { Machines, whyNoMachines } from './shared/machines.js';
import { noiseImages } from './shared/noise-images.js';
import { startLauncher, startOnMachines } from './shared/train-processes.js';
import { readRows } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    trials: { type: 'string', default: '30' },
    seed: { type: 'string', default: '1' },
    processes: { type: 'string', default: '3' },
    only: { type: 'string', multiple: true, default: [] },
    out: { type: 'string', default: 'runs/failures' },
  },
});
const size = Number(values.processes);
const { out } = values;
const steps = 120;
const batchSize = 12;
/** Seconds in which a training must end. */
const most = 60;
const env = { OMP_NUM_THREADS: '1' };

/** A training of a few seconds, which saves itself after nearly every step. */
const trainArgs = (data, run) => [
  ...['train', '--data', data, '--out', run, '--model', 'ViT-Pico-8-64'],
  ...['--budget', `${steps * batchSize}samples`, '--precision', 'fp32', '--device', 'cpu'],
  ...['--validate', 'none'],
  ...[
    'model.vision.layers=2',
    'model.text.layers=1',
    'tokenizer.vocabSize=520',
    'tokenizer.contextLength=16',
    `train.batchSize=${batchSize}`,
    'train.checkpointMinutes=0.002',
  ].flatMap((setting) => ['--set', setting]),
];

/** A failure to try: who, when and how. */
function chosen(trial, canCut) {
  const random = new CounterRng({ seed: Number(values.seed), purpose: 'failures', epoch: trial });
  const kinds = ['SIGKILL', 'SIGSTOP', ...(canCut ? ['cut link'] : [])];
  const kind = kinds[random.integer(kinds.length)];
  const start = canCut && (kind === 'cut link' || random.chance(0.5)) ? 'machines' : 'launcher';
  const cuts = ['silent', 'carrier', 'interface', ...(size > 2 ? ['between'] : [])];
  const how = kind === 'cut link' ? cuts[random.integer(cuts.length)] : kind;
  // Rank 0's store is what others notice of a link to it.
  const rank = how === 'between' ? 1 + random.integer(size - 2) : random.integer(size);
  return {
    trial,
    kind: kind === 'cut link' ? `link cut (${how === 'between' ? `to ${rank + 1}` : how})` : kind,
    how,
    start,
    rank,
    // After the first checkpoint, and well before the end.
    step: 3 + random.integer(steps / 2),
    fraction: random.uniform(),
  };
}

/** Waits for a step of a run; false if it ended before. */
async function reaches(run, step, processes) {
  const file = join(run, 'metrics.jsonl');
  while (processes.every(({ status }) => status === undefined)) {
    if (existsSync(file) && (readRows(file).at(-1)?.step ?? 0) >= step) return true;
    await sleep(10);
  }
  return false;
}

const named = (rank) => `Rank ${rank} of ${size} has ended or hangs`;
const others = (rank) => Array.from({ length: size }, (_, i) => i).filter((i) => i !== rank);

/** `Ranks 1 and 2 of 3 have ended or hang`. */
function allOf(ranks) {
  if (ranks.length === 1) return named(ranks[0]);
  const list = `${ranks.slice(0, -1).join(', ')} and ${ranks.at(-1)}`;
  return `Ranks ${list} of ${size} have ended or hang`;
}

/** Reasons why what the processes said is not what they should have; none if it is. */
function wrongSentences({ start, how, rank, run }, processes) {
  const saved = /The run is saved at step (\d+); resume it with "bantam train --resume [^"]+"\./;
  const wrong = [];
  const expect = (text, part, who) => {
    if (!(part instanceof RegExp ? part.test(text) : text.includes(part))) {
      wrong.push(`${who} did not say "${part}": ${text.trim().split('\n').slice(-3).join(' / ')}`);
    }
  };
  if (how === 'between') {
    for (const [other, { text }] of processes.entries()) {
      expect(text, `error: The connections between the ${size} processes failed`, `rank ${other}`);
    }
    expect(processes[0].text, saved, 'rank 0');
  } else if (start === 'launcher') {
    const [{ text }] = processes;
    if (how === 'SIGKILL' && rank === 0) {
      expect(text, `rank 0 by SIGKILL. Resume the run with "bantam train --resume ${run}`, 'it');
    }
    for (const other of others(rank)) {
      const prefix = other === 0 ? 'error: ' : `[rank ${other}] error: `;
      expect(text, prefix + named(rank), 'it');
    }
    if (rank !== 0) expect(text, saved, 'it');
  } else {
    for (const other of others(rank)) {
      expect(processes[other].text, `error: ${named(rank)}`, `rank ${other}`);
    }
    if (rank !== 0) expect(processes[0].text, saved, 'rank 0');
    const isCut = !how.startsWith('SIG');
    if (isCut) {
      const { text } = processes[rank];
      expect(text, rank === 0 ? allOf(others(0)) : named(0), `rank ${rank}, cut off,`);
      if (rank === 0) expect(text, saved, 'rank 0');
    }
  }
  const words = processes.map(({ text }) => text).join('\n');
  const step = saved.exec(words)?.[1];
  const last = Number(readdirSync(join(run, 'checkpoints')).sort().at(-1)?.slice(5));
  if (step !== undefined && Number(step) !== last) wrong.push(`said step ${step}, saved ${last}`);
  return wrong;
}

/** Weights, optimizer and model that a run ended with. */
function bits(run) {
  const folder = join(run, 'checkpoints', readdirSync(join(run, 'checkpoints')).sort().at(-1));
  const files = [
    ...readdirSync(folder)
      .filter((name) => name.endsWith('.safetensors'))
      .map((name) => join(folder, name)),
    join(run, 'model', 'open_clip_model.safetensors'),
  ];
  return files.map((file) => readFileSync(file));
}

async function attempt({ start, how, rank, step, fraction, run, data }) {
  rmSync(run, { recursive: true, force: true });
  const machines = start === 'machines' ? new Machines(size) : null;
  let running = null;
  try {
    await machines?.connect();
    const args = trainArgs(data, run);
    running =
      machines === null
        ? startLauncher(args, { size, env })
        : startOnMachines(args, { machines, size, env });
    const { processes } = running;
    if (!(await reaches(run, step, processes))) {
      return { wrong: [`ended before step ${step}: ${processes.map(({ text }) => text).join(' / ')}`] }; // prettier-ignore
    }
    const rows = readRows(join(run, 'metrics.jsonl'));
    const pace = rows.at(-1).seconds / rows.length;
    await sleep(1000 * fraction * pace);
    const begun = performance.now();
    if (how.startsWith('SIG')) process.kill(running.pid(rank), how);
    else if (how === 'between') machines.cutBetween(rank, rank + 1);
    else machines.cut(rank, how);
    // A stopped process ends with its launcher; without one, nobody but its user can end it.
    const stays = machines !== null && how === 'SIGSTOP' ? [rank] : [];
    const waited = processes.filter((_, i) => !stays.includes(i)).map(({ ended }) => ended);
    const late = sleep(1000 * (most + 60), 'late');
    const isLate = (await Promise.race([Promise.all(waited), late])) === 'late';
    const seconds = (performance.now() - begun) / 1000;
    const wrong = isLate ? ['does not end'] : wrongSentences({ start, how, rank, run }, processes);
    const statuses = processes.map(({ status }) => status);
    for (const [i, status] of statuses.entries()) {
      const isVictim = machines !== null && i === rank && how.startsWith('SIG');
      if (!isVictim && status !== 1) wrong.push(`rank ${i} ended with ${status}`);
    }
    if (seconds > most) wrong.push(`took ${seconds.toFixed(0)} s`);
    return { seconds, wrong };
  } finally {
    for (const { child, status } of running?.processes ?? []) {
      if (status === undefined) child.kill('SIGKILL');
    }
    await machines?.remove();
  }
}

/** Resumes a run to its end, and compares it with the unbroken one. */
async function isSame(run, expected) {
  const args = ['train', '--resume', run, '--device', 'cpu'];
  const { processes } = startLauncher(args, { size, env });
  const [{ status, text }] = await Promise.all(processes.map(({ ended }) => ended));
  if (status !== 0) return `not resumed: ${text.trim().split('\n').at(-1)}`;
  return bits(run).every((file, i) => file.equals(expected[i])) ? null : 'other bits';
}

mkdirSync(out, { recursive: true });
const reason = whyNoMachines();
if (reason !== null) console.log(`Links are not cut, and there are no machines: ${reason}.\n`);
const data = await noiseImages(join(out, 'images'), { count: 60, size: 64 });
const unbroken = join(out, 'unbroken');
rmSync(unbroken, { recursive: true, force: true });
const whole = startLauncher(trainArgs(data, unbroken), { size, env });
const [{ status, text }] = await Promise.all(whole.processes.map(({ ended }) => ended));
if (status !== 0) throw new Error(`The training without a failure failed: ${text}`);
const expected = bits(unbroken);

console.log(
  '| trial | started by | failure | rank | after step | seconds | sentences | same bits |',
);
console.log('| ---: | --- | --- | ---: | ---: | ---: | --- | --- |');
let failed = 0;
const trials = Array.from({ length: Number(values.trials) }, (_, i) => i + 1);
const only = values.only.map(Number);
for (const trial of trials.filter((number) => only.length === 0 || only.includes(number))) {
  const failure = chosen(trial, reason === null);
  const run = join(out, `trial-${trial}`);
  const { seconds = NaN, wrong } = await attempt({ ...failure, run, data });
  const difference = existsSync(join(run, 'config.json')) ? await isSame(run, expected) : 'no run';
  const cells = [
    trial,
    failure.start === 'launcher' ? '--processes' : 'torchrun, machines',
    failure.kind,
    failure.rank,
    failure.step,
    seconds.toFixed(1),
    wrong.length === 0 ? 'right' : 'WRONG',
    difference ?? 'yes',
  ];
  console.log(`| ${cells.join(' | ')} |`);
  if (wrong.length === 0 && difference === null) rmSync(run, { recursive: true });
  else {
    failed++;
    for (const one of wrong) console.log(`\n${one}\n`);
  }
}
if (failed > 0) {
  console.error(`${failed} of ${trials.length} trials ended otherwise.`);
  process.exitCode = 1;
}
