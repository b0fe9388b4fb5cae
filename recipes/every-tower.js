/**
 * Trains a small model with each kind of tower on the emoji data, for the same time, and draws the
 * loss curves into one picture: shows that every architecture trains, not which one is best.
 *
 *     node recipes/every-tower.js [--budget 2m] [--out runs/every-tower] [--picture FILE.svg]
 *
 * On two cores: two runs at a time with one thread each, about one minute and a quarter for each
 * tower of two minutes. Runs that are there are not repeated. Exit status 1 where a run failed or its
 * loss did not fall.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { lineChart } from '../packages/bantam/dist/report/chart.js';
import { smooth } from '../packages/bantam/dist/report/series.js';
import { presets } from '../packages/bantam/dist/models/index.js';

const bin = fileURLToPath(new URL('../packages/bantam/bin/bantam.js', import.meta.url));
const { values } = parseArgs({
  options: {
    budget: { type: 'string', default: '2m' },
    out: { type: 'string', default: 'runs/every-tower' },
    picture: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});

/** One preset of each kind for pictures of 64 pixels. */
const towers = [...presets.keys()].filter(
  (name) => name.includes('-Nano-') && name.endsWith('-64'),
);

/** The quickstart's settings but for the learning rate, which suits every tower. */
const settings = {
  'tokenizer.contextLength': '16',
  'train.batchSize': '128',
  'train.lr': '5e-4',
  'train.workers': '1',
};

/**
 * Runs `bantam train` for one tower; its messages go to a file beside the run.
 *
 * @param {string} name
 */
async function trainTower(name) {
  const run = join(values.out, name);
  if (existsSync(join(run, 'model'))) return;
  const args = ['train', '--model', name, '--data', 'emoji?split=train'];
  args.push('--out', run, '--budget', values.budget);
  for (const [key, value] of Object.entries(settings)) args.push('--set', `${key}=${value}`);
  const threads = Math.max(1, Math.floor(availableParallelism() / Number(values.jobs)));
  const log = openSync(`${run}.log`, 'w');
  const child = spawn(process.execPath, [bin, ...args], {
    stdio: ['ignore', log, log],
    env: { ...process.env, OMP_NUM_THREADS: String(threads) },
  });
  const status = await new Promise((resolve) => child.on('exit', resolve));
  console.error(`${name}: ${status === 0 ? 'trained' : `failed, see ${run}.log`}`);
}

/**
 * The loss of every step by the samples seen.
 *
 * @param {string} name
 */
function lossCurve(name) {
  const file = join(values.out, name, 'metrics.jsonl');
  if (!existsSync(file)) return [];
  const rows = readFileSync(file, 'utf8').trim().split('\n');
  return rows.map((row) => JSON.parse(row)).map(({ samples, loss }) => ({ x: samples, y: loss }));
}

const panel = { width: 330, height: 210, columns: 3 };

/** @param {readonly { name: string, points: readonly { x: number, y: number }[] }[]} curves */
function picture(curves) {
  const rows = Math.ceil(curves.length / panel.columns);
  const panels = curves.map(({ name, points }, i) => {
    const x = (i % panel.columns) * panel.width;
    const y = Math.floor(i / panel.columns) * (panel.height + 24);
    const chart = lineChart({
      title: `Loss of ${name}`,
      series: [
        { name: 'step', points, look: 'faint' },
        { name: 'mean', points: smooth(points, 15) },
      ].map((series) => ({ ...series, name: '' })),
      xName: 'samples',
      reference: { name: 'ln 128', y: Math.log(128) },
      width: panel.width,
      height: panel.height,
    });
    return `<text class="strong" x="${x + 54}" y="${y + 16}">${name}</text>
<svg x="${x}" y="${y + 22}" width="${panel.width}" height="${panel.height}">${chart.text}</svg>`;
  });
  const size = `${panel.columns * panel.width} ${rows * (panel.height + 24)}`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size}" role="img">
<title>Loss curves of every kind of tower on the emoji data</title>
<style>
text { font: 12px system-ui, sans-serif; fill: #808790; }
.strong { font-weight: 600; } .end { text-anchor: end; } .middle { text-anchor: middle; }
.grid { stroke: #808790; stroke-opacity: 0.25; } .axis { stroke: #808790; }
.reference { stroke: #808790; stroke-dasharray: 3 4; }
.main { stroke: #2b7fd4; stroke-width: 2.2; fill: none; } .faint { stroke: #2b7fd4; stroke-opacity: 0.3; fill: none; }
</style>
${panels.join('\n')}
</svg>
`;
}

/** @param {readonly number[]} numbers */
function mean(numbers) {
  return numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
}

mkdirSync(values.out, { recursive: true });
const waiting = [...towers];
const lane = async () => {
  for (let name = waiting.shift(); name !== undefined; name = waiting.shift())
    await trainTower(name);
};
await Promise.all(Array.from({ length: Number(values.jobs) }, lane));

const curves = towers.map((name) => ({ name, points: lossCurve(name) }));
console.log('| tower | samples seen | loss of the first 10 steps | loss of the last 50 steps |');
console.log('| --- | ---: | ---: | ---: |');
for (const { name, points } of curves) {
  const losses = points.map(({ y }) => y);
  const [first, last] = [mean(losses.slice(0, 10)), mean(losses.slice(-50))];
  const samples = points.at(-1)?.x ?? 0;
  console.log(`| \`${name}\` | ${samples} | ${first.toFixed(2)} | ${last.toFixed(2)} |`);
  // A run that failed has no finite mean.
  if (!(last < first - 0.5)) process.exitCode = 1;
}
if (values.picture !== undefined) writeFileSync(values.picture, picture(curves));
