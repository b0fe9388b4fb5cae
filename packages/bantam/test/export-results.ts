/** Results of {@link ./export-presets.ts}: a file of one JSON line per preset, and their table. */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { exportPrecisions, type Agreement, type ExportPrecision } from '../dist/export/index.js';
import { modelConfig } from '../dist/models/index.js';

/** Agreement of a graph with Bantam, and its size with all files. */
export type GraphResult = Agreement & { readonly bytes: number };

/** A tower's graphs. */
export interface TowerResult {
  /** Tells towers with the same graph. */
  readonly key: string;
  /** The preset whose equal tower was run; null: this one's was. */
  readonly sameAs: string | null;
  readonly graphs: Readonly<Record<ExportPrecision, GraphResult>>;
}

/** A preset's graphs. */
export interface PresetResult {
  readonly preset: string;
  /** The most blocks of a stage that were kept; null: all. */
  readonly layers: number | null;
  readonly image: TowerResult;
  readonly text: TowerResult;
  /** ONNX's own checker passed the graphs. */
  readonly checked: boolean;
  /** All graphs are within the bounds of the export's own check. */
  readonly passes: boolean;
}

/** Results so far; none if the file does not exist. */
export function readResults(file: string | undefined): PresetResult[] {
  if (file === undefined || !existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as PresetResult);
}

export function addResult(file: string | undefined, result: PresetResult): void {
  const line = `${JSON.stringify(result)}\n`;
  if (file === undefined) process.stdout.write(line);
  else appendFileSync(file, line);
}

const parts = ['image', 'text'] as const;

/** Family of a tower: its type, and what else tells graphs of one type apart. */
function familyOf(part: (typeof parts)[number], preset: string): string {
  const { vision, text } = modelConfig(preset);
  if (part === 'text') return `text: ${text.type}`;
  if (vision.type === 'eva') return `${vision.type}, ${vision.block}, ${vision.poolType}`;
  return vision.type === 'timm-vit' ? `${vision.type}, ${vision.stem}` : vision.type;
}

/** A table in Markdown: of each family the graphs that were run, and their worst values. */
export function resultTable(results: readonly PresetResult[]): string {
  const families = new Map<
    string,
    { presets: Set<string>; run: PresetResult[]; towers: TowerResult[] }
  >();
  for (const result of results) {
    for (const part of parts) {
      const name = familyOf(part, result.preset);
      const family = families.get(name) ?? { presets: new Set<string>(), run: [], towers: [] };
      families.set(name, family);
      family.presets.add(result.preset);
      if (result[part].sameAs !== null) continue;
      family.run.push(result);
      family.towers.push(result[part]);
    }
  }
  const rows = [...families].map(([name, { presets, run, towers }]) => {
    const worst = (of: (tower: TowerResult) => number, pick: (...values: number[]) => number) =>
      pick(...towers.map(of));
    const cosine = (precision: ExportPrecision) =>
      worst((tower) => tower.graphs[precision].leastCosine, Math.min).toFixed(5);
    const megabytes = exportPrecisions.map((precision) => {
      const sizes = towers.map(({ graphs }) => Math.round(graphs[precision].bytes / 1e6));
      return `${Math.min(...sizes)} to ${Math.max(...sizes)}`;
    });
    const cut = run.filter(({ layers }) => layers !== null).length;
    const difference = worst(({ graphs }) => graphs.fp32.largestDifference, Math.max);
    const cells = [`\`${name}\``, presets.size, towers.length, cut, difference.toExponential(1)];
    return [...cells, cosine('fp16'), cosine('q8'), ...megabytes];
  });
  const head = [
    ...['towers', 'presets', 'graphs run', 'of fewer blocks', 'fp32: difference'],
    ...['fp16: cosine', 'q8: cosine', ...exportPrecisions.map((name) => `${name}, MB`)],
  ];
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
