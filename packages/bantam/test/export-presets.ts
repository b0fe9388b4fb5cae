/**
 * Exports presets with random weights, each tower alone, and compares every graph with Bantam:
 *
 * `node packages/bantam/dist-test/export-presets.js [--results FILE] [PRESET…]`
 *
 * Prints or appends a line of JSON for each preset, see {@link ./export-results.ts}; presets that FILE
 * has are left out, and equal towers are run once. Without names all presets are run, small ones first.
 * Exit status 1 if a graph is beyond the bounds of the export's own check, or invalid.
 *
 * --minutes M    starts no further preset after M minutes
 * --largest GB   leaves out presets with a tower of more than that in fp32
 * --layers N     keeps N blocks at most of each stage, for presets that are too large
 * --python FILE  checks the graphs with ONNX's own checker in this Python
 * --table        prints FILE as a table instead
 */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Generator, noGrad, normalize, randn, scope } from '@bantam/torch';
import {
  agreementOf,
  exportBounds,
  exportPrecisions,
  loadOnnxRuntime,
  modelGraph,
  recordTowers,
  unitRows,
  writeOnnx,
  type ExportPrecision,
  type OnnxRuntime,
} from '../dist/export/index.js';
import {
  modelConfig,
  parameterCount,
  parseModelConfig,
  presets,
  withChanges,
  type ModelConfig,
} from '../dist/models/index.js';
import {
  addResult,
  readResults,
  resultTable,
  type GraphResult,
  type PresetResult,
  type TowerResult,
} from './export-results.js';
import { exportableModel, sampleIds, toRuntime } from './onnx-subject.js';

type Part = 'image' | 'text';

/** A tower of hardly any size beside the one that is run. */
const beside = {
  image: { text: { type: 'transformer', width: 64, heads: 1, layers: 1, vocabSize: 300 } },
  text: { vision: { type: 'vit', imageSize: 16, patchSize: 16, width: 64, layers: 1 } },
} as const;

type Tower = ModelConfig['vision'] | ModelConfig['text'];

/** A tower of which each stage keeps so many blocks at most; null: all. */
function cut(tower: Tower, most: number | null): object {
  if (most === null) return tower;
  const changes = new Map<string, unknown>(Object.entries(tower));
  const { layers, depths }: { layers?: number; depths?: readonly number[] } = tower;
  if (layers !== undefined) changes.set('layers', Math.min(most, layers));
  if (depths !== undefined)
    changes.set(
      'depths',
      depths.map((depth) => Math.min(most, depth)),
    );
  return Object.fromEntries(changes);
}

/** The configuration of one of a preset's towers. */
function towerConfig(preset: string, part: Part, layers: number | null): ModelConfig {
  const config = withChanges(modelConfig(preset), { decoder: null });
  const own =
    part === 'image' ? { vision: cut(config.vision, layers) } : { text: cut(config.text, layers) };
  return parseModelConfig({ ...config, ...beside[part], ...own });
}

/** Tells towers with the same graph: all that it is made of. */
function keyOf(
  { embedDim, quickGelu, initLogitBias, vision, text }: ModelConfig,
  part: Part,
): string {
  const names = ['hfTokenizerName', 'tokenizerKwargs'];
  const tower = Object.entries(part === 'image' ? vision : text).filter(
    ([key]) => !names.includes(key),
  );
  return JSON.stringify([embedDim, quickGelu, initLogitBias !== null, tower]);
}

/** ONNX's own checker in a Python process. */
class Checker {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #answers: AsyncIterator<string>;

  constructor(python: string) {
    const script = fileURLToPath(new URL('../fixtures/check_onnx_files.py', import.meta.url));
    this.#process = spawn(python, [script]);
    this.#process.stderr.pipe(process.stderr);
    this.#answers = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  async check(file: string): Promise<void> {
    this.#process.stdin.write(`${file}\n`);
    const answer: IteratorResult<string, unknown> = await this.#answers.next();
    if (answer.value !== 'valid') throw new Error(`${file} is invalid: ${String(answer.value)}`);
  }

  async close(): Promise<void> {
    this.#process.stdin.end();
    await once(this.#process, 'close');
  }
}

interface Tools {
  readonly runtime: OnnxRuntime;
  readonly checker: Checker | null;
  readonly folder: string;
}

/** Exports a tower in every precision, and compares the graphs with it. */
async function compare(
  config: ModelConfig,
  part: Part,
  { runtime, checker, folder }: Tools,
): Promise<Record<ExportPrecision, GraphResult>> {
  const { imageSize } = config.vision;
  const input =
    part === 'image'
      ? randn([1, 3, imageSize, imageSize], new Generator({ seed: 2 }))
      : sampleIds(config, Math.min(config.text.contextLength, 12));
  const model = exportableModel(config);
  const own = noGrad(() =>
    scope(() => {
      const raw = part === 'image' ? model.encodeImage(input) : model.encodeText(input);
      return Float32Array.from(normalize(raw).toTypedArray(), Number);
    }),
  );
  const programs = recordTowers(model.config);
  const fileOf = (precision: ExportPrecision) => join(folder, `${part}_${precision}.onnx`);
  const bytes = new Map<ExportPrecision, number>();
  for (const precision of exportPrecisions) {
    const written = await writeOnnx(
      fileOf(precision),
      modelGraph(model, { programs, part, precision }),
    );
    bytes.set(precision, written.bytes);
  }
  // The runtime needs the memory of the weights again.
  model.dispose();
  const results: [ExportPrecision, GraphResult][] = [];
  for (const precision of exportPrecisions) {
    const file = fileOf(precision);
    await checker?.check(file);
    const session = await runtime.open(file);
    const key = part === 'image' ? 'pixel_values' : 'input_ids';
    const output = await session.run({ [key]: toRuntime(runtime, input) });
    await session.release();
    for (const written of [file, `${file}_data`]) rmSync(written, { force: true });
    const found = unitRows(output[`${part}_embeds`], config.embedDim);
    const size = bytes.get(precision) ?? 0;
    results.push([precision, { bytes: size, ...agreementOf(found, own, config.embedDim) }]);
  }
  input.dispose();
  return Object.fromEntries(results) as Record<ExportPrecision, GraphResult>;
}

function isWithinBounds({ graphs }: TowerResult): boolean {
  return exportPrecisions.every((precision) => {
    const { largestDifference, leastCosine } = graphs[precision];
    const bound = exportBounds[precision];
    return precision === 'fp32' ? largestDifference <= bound : leastCosine >= bound;
  });
}

async function runPreset(
  preset: string,
  layers: number | null,
  { known, tools }: { known: Map<string, { preset: string; tower: TowerResult }>; tools: Tools },
): Promise<PresetResult> {
  const towerOf = async (part: Part): Promise<TowerResult> => {
    const config = towerConfig(preset, part, layers);
    const key = `${part} ${keyOf(config, part)}`;
    const found = known.get(key);
    if (found !== undefined) return { ...found.tower, sameAs: found.preset };
    const tower = { key, sameAs: null, graphs: await compare(config, part, tools) };
    known.set(key, { preset, tower });
    return tower;
  };
  const [image, text] = [await towerOf('image'), await towerOf('text')];
  const passes = [image, text].every(isWithinBounds);
  return { preset, layers, image, text, checked: tools.checker !== null, passes };
}

/** Bytes of a preset's larger tower in float32. */
function towerBytes(preset: string): number {
  const { image, text } = parameterCount(modelConfig(preset));
  return 4 * Math.max(image, text);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: {
      results: { type: 'string' },
      minutes: { type: 'string' },
      largest: { type: 'string' },
      layers: { type: 'string' },
      python: { type: 'string' },
      table: { type: 'boolean' },
    },
    allowPositionals: true,
  });
  const done = readResults(values.results);
  if (values.table === true) {
    console.log(resultTable(done));
    return;
  }
  const all = [...presets.keys()].sort((a, b) => towerBytes(a) - towerBytes(b));
  const wanted = positionals.length > 0 ? positionals : all;
  const end = Date.now() + Number(values.minutes ?? Infinity) * 60_000;
  const largest = Number(values.largest ?? Infinity) * 1e9;
  const layers = values.layers === undefined ? null : Number(values.layers);
  const names = new Set(done.map(({ preset }) => preset));
  const known = new Map(
    done.flatMap(({ preset, image, text }) =>
      [image, text].map((tower) => [tower.key, { preset: tower.sameAs ?? preset, tower }] as const),
    ),
  );
  const tools = {
    runtime: await loadOnnxRuntime(),
    checker: values.python === undefined ? null : new Checker(values.python),
    folder: mkdtempSync(join(tmpdir(), 'bantam-export-')),
  };
  try {
    for (const preset of wanted) {
      if (names.has(preset)) continue;
      if (layers === null && towerBytes(preset) > largest) continue;
      if (Date.now() > end) break;
      const start = process.cpuUsage();
      try {
        const result = await runPreset(preset, layers, { known, tools });
        addResult(values.results, result);
        if (!result.passes) process.exitCode = 1;
      } catch (error) {
        console.error(`${preset}: ${(error as Error).message}`);
        process.exitCode = 1;
      }
      const { user, system } = process.cpuUsage(start);
      console.error(`${preset}: ${((user + system) / 1e6).toFixed(1)} s of CPU`);
    }
  } finally {
    rmSync(tools.folder, { recursive: true, force: true });
    await tools.checker?.close();
  }
}

await main();
