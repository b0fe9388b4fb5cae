/**
 * Time and memory of selecting from a million scored records. Writes a table of a million rows and
 * its scores (no images), and selects from them with the command line, each time in a process of
 * its own.
 *
 *     node recipes/select-million.js [--records 1000000] [--only 'top 40'] [--out DIR]
 *
 * Prints the seconds, those of the CPU, and the largest resident memory of each command.
 */
import './shared/one-sentence.js';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CounterRng, SourceDigest } from 'bantam/experimental';

const { values } = parseArgs({
  options: {
    records: { type: 'string', default: '1000000' },
    out: { type: 'string', default: 'runs/select-million' },
    only: { type: 'string', default: '' },
  },
});
const records = Number(values.records);
const { out } = values;
mkdirSync(out, { recursive: true });
const table = join(out, 'pairs.csv');
const scores = join(out, 'scores.jsonl');

/** Writes lines in parts of about a megabyte. */
function writeLines(path, lines) {
  const file = openSync(path, 'w');
  let part = '';
  for (const line of lines) {
    part += `${line}\n`;
    if (part.length < 2 ** 20) continue;
    writeSync(file, part);
    part = '';
  }
  writeSync(file, part);
  closeSync(file);
}

const keyOf = (i) => `images/${String(i).padStart(7, '0')}.jpg`;
const captionOf = (i) => `caption ${i} of a thing of kind ${i % 97}`;

function* tableLines() {
  yield 'image,caption,label';
  for (let i = 0; i < records; i++) yield `${keyOf(i)},${captionOf(i)},class ${i % 97}`;
}

function* scoreLines() {
  const digest = new SourceDigest();
  for (let i = 0; i < records; i++) digest.add({ key: keyOf(i), captions: [captionOf(i)] });
  const names = ['similarity', 'words', 'width', 'phash', 'language'];
  const header = { bantam: 'scores', format: 1, data: `csv:${table}?label=label`, records };
  yield JSON.stringify({ ...header, digest: digest.value, scores: names, settings: {} });
  const rng = new CounterRng({ seed: 0, purpose: 'scores', epoch: 0 });
  for (let i = 0; i < records; i++) {
    const hex = () => rng.bits().toString(16).padStart(8, '0');
    yield JSON.stringify({
      key: keyOf(i),
      // Coarse, as scores in bf16 are: thousands of ties at every cut.
      similarity: Math.round(rng.uniform() * 512) / 1024,
      words: 3 + rng.integer(20),
      width: 100 + rng.integer(900),
      phash: hex() + hex(),
      language: rng.chance(0.7) ? 'en' : 'de',
    });
  }
}

if (!existsSync(scores)) {
  writeLines(table, tableLines());
  writeLines(scores, scoreLines());
}

const bin = fileURLToPath(new URL('../packages/bantam/bin/bantam.js', import.meta.url));
/** Loaded before the command line: writes its memory and CPU time to its descriptor 3. */
const meter = `data:text/javascript,import { writeSync } from 'node:fs';
process.on('exit', () => writeSync(3, JSON.stringify(process.resourceUsage())));`;
const spec = `csv:${table}?label=label`;
const withScores = ['--scores', scores];
const commands = {
  'random 10 %': ['--random', '0.1'],
  'top 40 % by similarity': [...withScores, '--top', 'similarity=0.4'],
  'top 40 %, words, language': [
    ...withScores,
    ...['--top', 'similarity=0.4', '--where', 'words>=5', '--where', 'language=en'],
  ],
  '1,000 of each class by similarity': [
    ...withScores,
    ...['--per-class', '1000', '--best', 'similarity'],
  ],
  'near-duplicates by hash, 4 bits': [...withScores, '--unique', 'phash'],
  "MetaCLIP's balancing": ['--balance-captions', '5000'],
};
console.log(
  '|  | seconds | CPU seconds | memory | selected |\n| --- | ---: | ---: | ---: | ---: |',
);
for (const [name, criteria] of Object.entries(commands)) {
  if (!name.includes(values.only)) continue;
  const args = ['data', 'select', spec, '--out', join(out, 'subset.txt'), ...criteria, '--json'];
  const start = performance.now();
  const run = spawnSync(process.execPath, ['--import', meter, bin, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const seconds = (performance.now() - start) / 1000;
  if (run.status !== 0) throw new Error(`${name} failed: ${run.stderr}`);
  const { maxRSS, userCPUTime } = JSON.parse(run.output[3]);
  const [memory, cpuSeconds] = [maxRSS / 1024, userCPUTime / 1e6];
  const { selected } = JSON.parse(run.stdout);
  console.log(
    `| ${name} | ${seconds.toFixed(1)} | ${cpuSeconds.toFixed(1)} | ${memory.toFixed(0)} MB | ${selected} |`,
  );
}
