/**
 * Trains a small model with each kind of tower on the emoji data, for the same time, and draws the
 * loss curves into one chart: shows that every architecture trains, not which one is best.
 *
 *     node recipes/every-tower.js [--budget 2m] [--out runs/every-tower] [--chart FILE.svg]
 *
 * On two cores: two runs at a time with one thread each, 13 minutes for 12 towers of two minutes.
 * Finished runs are not repeated. Exit status 1 if a run failed or its
 * loss did not fall.
 */
import './shared/one-sentence.js';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { presets } from 'bantam';
import { lineChart, smooth } from 'bantam/internal';
import { runParallel, mean, readRows, runBantam, settingArgs, threadsEach } from './shared/runs.js';

const { values } = parseArgs({
  options: {
    budget: { type: 'string', default: '2m' },
    out: { type: 'string', default: 'runs/every-tower' },
    chart: { type: 'string' },
    jobs: { type: 'string', default: String(availableParallelism()) },
  },
});

/** One preset of each kind for images of 64 pixels; of the two plain ViTs the cheaper. */
const towers = [...presets.keys()].filter(
  (name) => name.includes('Nano') && name !== 'ViT-Nano-8-64',
);

/** The quickstart's settings but for the learning rate, which suits every tower. */
const settings = {
  tokenizer: { contextLength: 16 },
  train: { batchSize: 128, lr: 5e-4, workers: 1 },
};

/**
 * Runs `bantam train` for one tower; its messages go to a file beside the run.
 *
 * @param {string} name
 */
async function trainTower(name) {
  const run = join(values.out, name);
  if (existsSync(join(run, 'model'))) return;
  const args = ['train', '--model', name, '--data', 'emoji?split=train', '--validate', 'none'];
  args.push('--out', run, '--budget', values.budget);
  args.push(...settingArgs(settings));
  const threads = threadsEach(Number(values.jobs));
  const { status } = await runBantam(args, { log: `${run}.log`, threads });
  console.error(`${name}: ${status === 0 ? 'trained' : `failed, see ${run}.log`}`);
}

/**
 * The loss of every step by the samples seen.
 *
 * @param {string} name
 */
function lossCurve(name) {
  const rows = readRows(join(values.out, name, 'metrics.jsonl'));
  return rows.map(({ samples, loss }) => ({ x: samples, y: loss }));
}

const panel = { width: 330, height: 210, columns: 3 };

/** @param {readonly { name: string, points: readonly { x: number, y: number }[] }[]} curves */
function drawCharts(curves) {
  const rows = Math.ceil(curves.length / panel.columns);
  const panels = curves.map(({ name, points }, i) => {
    const x = (i % panel.columns) * panel.width;
    const y = Math.floor(i / panel.columns) * (panel.height + 24);
    const chart = lineChart({
      title: `Loss of ${name}`,
      series: [{ name: '', points: smooth(points, 10) }],
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

mkdirSync(values.out, { recursive: true });
await runParallel(towers, Number(values.jobs), trainTower);

const curves = towers.map((name) => ({ name, points: lossCurve(name) }));
console.log('| tower | samples seen | loss of the first 10 steps | loss of the last 20 steps |');
console.log('| --- | ---: | ---: | ---: |');
for (const { name, points } of curves) {
  const losses = points.map(({ y }) => y);
  const [first, last] = [mean(losses.slice(0, 10)), mean(losses.slice(-20))];
  const samples = points.at(-1)?.x ?? 0;
  console.log(`| \`${name}\` | ${samples} | ${first.toFixed(2)} | ${last.toFixed(2)} |`);
  // A run that failed has no finite mean.
  if (!(last < first - 0.2)) process.exitCode = 1;
}
if (values.chart !== undefined) writeFileSync(values.chart, drawCharts(curves));
