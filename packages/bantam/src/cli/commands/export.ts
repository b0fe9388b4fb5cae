import { InvalidArgumentError, Option, type Command } from 'commander';
import type { Agreement, ExportPrecision, OnnxExport, TaskScores } from '../../export/index.js';
import { action, examples } from '../command.js';
import { formatBytes } from '../../base/format-bytes.js';
import { countOf } from '../../base/count-of.js';
import { formatPercent, formatTable } from '../output.js';
import { fetchModel, MODEL_NAMES } from '../model-names.js';
import { Progress } from '../progress.js';
import { addWebOptions, refuseWebOptions, runWebExport, type WebFlags } from './export-web.js';

interface ExportFlags extends WebFlags {
  readonly to: 'onnx' | 'web';
  readonly out: string;
  readonly precision?: readonly ExportPrecision[];
  readonly data?: string;
  readonly check: boolean;
  readonly force?: true;
  readonly merges?: string;
}

const precisions: readonly ExportPrecision[] = ['fp32', 'fp16', 'q8'];

/** Reads `fp32,q8`. */
function precisionList(text: string): ExportPrecision[] {
  return text.split(',').map((name) => {
    const found = precisions.find((known) => known === name.trim());
    if (found !== undefined) return found;
    throw new InvalidArgumentError(`It must list ${precisions.join(', ')}, with commas between`);
  });
}

/** `bantam export` */
export function addExport(program: Command): void {
  const command = program
    .command('export')
    .description('write a model as graphs of ONNX, for Node, browsers and phones, or as a web page')
    .argument('<model>', MODEL_NAMES)
    .addOption(new Option('--to <format>', 'format').choices(['onnx', 'web']).makeOptionMandatory())
    .requiredOption(
      '--out <dir>',
      'new directory: laid out as transformers.js loads it, or a page to serve',
    )
    .addOption(
      new Option(
        '--precision <list>',
        'number formats: fp32, fp16, q8 (int8 weights); default: all, for the web q8',
      ).argParser(precisionList),
    )
    .option('--data <spec>', 'measure zero-shot accuracy and retrieval of the graphs on this data')
    .option(
      '--no-check',
      "do not compare the graphs with the model (ONNX Runtime isn't needed then)",
    )
    .option('--force', 'replace an earlier export')
    .option(
      '--merges <file>',
      "vocabulary of CLIP's kind, if the model has no tokenizer and its own is not CLIP's",
    );
  addWebOptions(command);
  examples(command, [
    'bantam export runs/first/model --to onnx --out first-onnx',
    'bantam export runs/first/model --to onnx --out first-onnx --precision q8 --data folder:photos',
    'bantam export runs/first/model --to web --out page --index photos-index',
  ]);
  action(command, async (flags: ExportFlags, source: string) => {
    const { to, precision, out, data, check, force, merges } = flags;
    const progress = new Progress();
    const common = {
      check,
      force: force ?? false,
      ...(precision !== undefined && { precisions: precision }),
      ...(data !== undefined && { data }),
      ...(merges !== undefined && { merges }),
    };
    if (to === 'web') return runWebExport({ source, out, flags, common, progress });
    refuseWebOptions(flags);
    const { exportOnnx } = await import('../../export/index.js');
    const stages = { record: 'Reading', write: 'Writing', check: 'Checking' };
    try {
      await fetchModel(source, progress);
      const result = await exportOnnx(source, out, {
        ...common,
        onProgress: ({ stage, detail }) => {
          progress.update(stages[stage], detail);
        },
      });
      progress.done();
      return { text: describe(result), json: { out, ...result.manifest } };
    } finally {
      progress.done();
    }
  });
}

function describe({ directory, manifest, check }: OnnxExport): string {
  const lines = [`Exported ${manifest.description}: ${directory}`];
  const checks = check?.precisions ?? {};
  const rows = Object.entries(manifest.precisions).map(([name, { bytes }]) => {
    const { image, text } = checks[name as ExportPrecision] ?? {};
    const sizes = [bytes.image, bytes.text].map(formatBytes);
    return [name, ...sizes, ...[image, text].map(agreement)];
  });
  const head = ['precision', 'image', 'text', 'image features', 'text features'];
  lines.push('', formatTable([head, ...rows], { right: [1, 2] }));
  if (check === null) return [...lines, '', 'Not compared with the model.'].join('\n');
  lines.push(
    '',
    `Compared on ${countOf(check.images, 'image')} (${check.data}) and ${countOf(check.texts, 'text')}.`,
  );
  if (check.scores !== null) lines.push('', scoreTable(check.scores, checks));
  return lines.join('\n');
}

/** `cosine 0.99998, off by 3.1e-7` */
function agreement(found: Agreement | undefined): string {
  if (found === undefined) return 'not checked';
  const { leastCosine, largestDifference } = found;
  return `cosine ≥ ${leastCosine.toFixed(5)}, off by ≤ ${largestDifference.toExponential(1)}`;
}

function scoreTable(
  scores: TaskScores,
  checks: Partial<Record<ExportPrecision, { scores: TaskScores | null }>>,
): string {
  const columns = Object.entries(checks);
  const percent = (value: number | undefined) =>
    value === undefined ? '' : formatPercent(value, 2);
  const rows = Object.entries(scores).map(([name, value]) => [
    name,
    percent(value),
    ...columns.map(([, one]) => percent(one.scores?.[name])),
  ]);
  const head = ['score', 'Bantam', ...columns.map(([name]) => name)];
  return formatTable([head, ...rows], { right: columns.map((_, i) => i + 2).concat(1) });
}
