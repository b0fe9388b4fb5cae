/**
 * Exports presets with random weights and compares every graph with Bantam:
 * `node packages/bantam/dist-test/export-presets.js [--layers N] PRESET…`. Prints a line of JSON for
 * each graph: preset, part, precision, bytes, largest difference, least cosine. `--layers N` cuts the
 * transformers to N blocks, for presets that are too large for the memory. Exit status 1 if a graph
 * is beyond the bounds of the export's own check.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  type OnnxRuntime,
  type TowerPrograms,
} from '../dist/export/index.js';
import { modelConfig, withChanges, type Clip } from '../dist/models/index.js';
import { exportableModel, sampleIds, toRuntime } from './onnx-subject.js';

interface Case {
  readonly name: string;
  readonly model: Clip;
  readonly programs: TowerPrograms;
  readonly folder: string;
  readonly runtime: OnnxRuntime;
}

/** Compares the graphs of a tower, and prints a line for each; true if all are within the bounds. */
async function compare(
  { name, model, programs, folder, runtime }: Case,
  part: 'image' | 'text',
): Promise<boolean> {
  const { config } = model;
  const { imageSize } = config.vision;
  const { contextLength } = config.text;
  const input =
    part === 'image'
      ? randn([1, 3, imageSize, imageSize], new Generator({ seed: 2 }))
      : sampleIds(config, Math.min(contextLength, 12));
  const own = noGrad(() =>
    scope(() => {
      const raw = part === 'image' ? model.encodeImage(input) : model.encodeText(input);
      return Float32Array.from(normalize(raw).toTypedArray(), Number);
    }),
  );
  let within = true;
  for (const precision of exportPrecisions) {
    const file = join(folder, `${part}.onnx`);
    const { bytes } = await writeOnnx(file, modelGraph(model, { programs, part, precision }));
    const session = await runtime.open(file);
    const key = part === 'image' ? 'pixel_values' : 'input_ids';
    const output = await session.run({ [key]: toRuntime(runtime, input) });
    await session.release();
    rmSync(`${file}_data`, { force: true });
    const found = unitRows(output[`${part}_embeds`], config.embedDim);
    const agreement = agreementOf(found, own, config.embedDim);
    const bound = exportBounds[precision];
    const passes =
      precision === 'fp32' ? agreement.largestDifference <= bound : agreement.leastCosine >= bound;
    within &&= passes;
    console.log(JSON.stringify({ preset: name, part, precision, bytes, ...agreement, passes }));
  }
  return within;
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { layers: { type: 'string' } },
    allowPositionals: true,
  });
  const runtime = await loadOnnxRuntime();
  const cut =
    values.layers === undefined
      ? {}
      : { vision: { layers: Number(values.layers) }, text: { layers: Number(values.layers) } };
  for (const name of positionals) {
    const folder = mkdtempSync(join(tmpdir(), 'bantam-export-'));
    try {
      using model = exportableModel(withChanges(modelConfig(name), cut));
      const programs = recordTowers(model.config);
      const subject = { name, model, programs, folder, runtime };
      const both = [await compare(subject, 'image'), await compare(subject, 'text')];
      if (both.includes(false)) process.exitCode = 1;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

await main();
