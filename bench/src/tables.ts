/** Markdown tables of results. */
import { at } from '@bantam/torch/at';
import { parameterMillions, precise, times } from './format.js';
import { chanceRecalls, figuresOf, meanRecalls } from './figures.js';
import { describeSettings } from './settings-text.js';
import type {
  AccuracyResult,
  CaseResult,
  Learned,
  MachineFacts,
  Results,
  ScalingPoint,
  StartupResult,
} from './results.js';
import { median } from './statistics.js';

/** A table with a header; columns of numbers are set flush right. */
export function markdownTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  { left = 1 }: { left?: number } = {},
): string {
  const widths = header.map((title, column) =>
    Math.max(3, title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string => {
    const padded = cells.map((cell, column) => {
      const width = at(widths, column);
      return column < left ? cell.padEnd(width) : cell.padStart(width);
    });
    return `| ${padded.join(' | ')} |`;
  };
  const rule = widths.map((width, column) =>
    column < left ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(header), `| ${rule.join(' | ')} |`, ...rows.map(line)].join('\n');
}

const kinds: Readonly<Record<CaseResult['kind'], string>> = {
  train: 'training step',
  image: 'images',
  text: 'captions',
  load: 'loading',
};

/** `2 cores of a Xeon, 25 GB, libtorch 2.13.0` */
export function machineLine(machine: MachineFacts): string {
  const { cores, cpu, memoryBytes, platform, libtorch, baseline, node, threads, isa, device } =
    machine;
  const parts = [
    ...(device === undefined ? [] : [device]),
    `${cpu}, ${cores} cores, ${threads} threads used`,
    ...(isa === undefined ? [] : [`both implementations limited to ${isa}`]),
    `${(memoryBytes / 1e9).toFixed(0)} GB of memory`,
    `${platform}, Node.js ${node}, libtorch ${libtorch}`,
    ...(baseline === null ? [] : [`baseline: ${baseline}`]),
  ];
  return parts.join('; ');
}

/** Speed of both implementations, one row per case. */
export function speedTable({ cases = [], machine }: Results): string {
  const rows = cases.map((result) => {
    const { bantam, baseline, ratio, productFraction, memoryRatio } = figuresOf(
      result,
      machine.cores,
    );
    return [
      result.kind === 'load' ? result.name.replace('load/', 'from ') : (result.model ?? ''),
      kinds[result.kind],
      result.kind === 'load' ? '' : result.precision,
      precise(bantam),
      precise(baseline),
      ratio === null
        ? ''
        : `**${times(ratio.median)}** (${precise(ratio.lowest)} to ${times(ratio.highest)})`,
      productFraction === null ? '' : `${(100 * productFraction).toFixed(0)} %`,
      memoryRatio === null ? '' : memoryRatio.toFixed(2),
      describeSettings(result.settings),
    ];
  });
  const header = [
    'model',
    'work',
    'precision',
    'Bantam, samples/s',
    'baseline, samples/s',
    'ratio (range)',
    'fraction of products',
    'memory, ratio',
    "baseline's best",
  ];
  return markdownTable(header, rows, { left: 3 });
}

/** Peak memory of both implementations. */
export function memoryTable({ cases = [] }: Results): string {
  const gigabytes = (bytes: number | null) => (bytes === null ? '' : (bytes / 1e9).toFixed(2));
  const rows = cases.map(({ name, peakBytes }) => [
    name,
    gigabytes(peakBytes.bantam),
    gigabytes(peakBytes.baseline),
  ]);
  return markdownTable(['case', 'Bantam, GB', 'baseline, GB'], rows);
}

/** The settings that were tried for the baseline. */
export function trialTable({ cases = [] }: Results): string {
  const rows = cases.flatMap(({ name, trials, settings }) =>
    trials.map((trial) => [
      name,
      describeSettings(trial.settings),
      trial.seconds === null ? `failed: ${trial.error ?? ''}` : precise(trial.seconds),
      JSON.stringify(trial.settings) === JSON.stringify(settings) ? 'taken' : '',
    ]),
  );
  return markdownTable(['case', 'setting', 'seconds of a step', ''], rows, { left: 2 });
}

/** Models with their size and speed. */
export function zooTable({ cases = [], machine }: Results): string {
  const models = [...new Set(cases.flatMap(({ model }) => model ?? []))];
  const rows = models.map((model) => {
    const of = (kind: CaseResult['kind']) =>
      cases.find((result) => result.model === model && result.kind === kind);
    const cells = (['train', 'image'] as const).flatMap((kind) => {
      const result = of(kind);
      if (result === undefined) return ['', '', ''];
      const { bantam, baseline, ratio } = figuresOf(result, machine.cores);
      return [precise(bantam), precise(baseline), ratio === null ? '' : times(ratio.median)];
    });
    const prepared = (of('train') ?? of('image'))?.prepared ?? null;
    return [
      `\`${model}\``,
      prepared === null ? '' : parameterMillions(prepared.parameters),
      prepared === null ? '' : precise(prepared.flops.image / 1e9),
      ...cells,
    ];
  });
  const header = [
    'preset',
    'parameters, M',
    'image, GFLOP',
    'training, samples/s',
    'OpenCLIP',
    'ratio',
    'images/s',
    'OpenCLIP',
    'ratio',
  ];
  return markdownTable(header, rows);
}

/** Speed and memory along each axis. */
export function scalingTable(points: readonly ScalingPoint[]): string {
  const rows = points.map(({ model, precision, axis, value, samplesPerSecond, peakBytes }) => [
    model,
    precision,
    axis,
    String(value),
    precise(samplesPerSecond),
    peakBytes === null ? '' : (peakBytes / 1e9).toFixed(2),
  ]);
  return markdownTable(
    ['model', 'precision', 'axis', 'value', 'samples/s', 'peak memory, GB'],
    rows,
    { left: 3 },
  );
}

/** Seconds to the first training step and through it. */
export function startupTable(results: readonly StartupResult[]): string {
  const rows = results.map(({ model, seconds, stepSeconds }) => {
    const before = seconds.map((all, i) => all - at(stepSeconds, i));
    return [
      model,
      precise(median(before)),
      precise(median(stepSeconds)),
      precise(median(seconds)),
      `${precise(Math.min(...seconds))} to ${precise(Math.max(...seconds))}`,
    ];
  });
  const header = ['model', 'seconds before the first step', 'of the step', 'together', 'range'];
  return markdownTable(header, rows);
}

/** Speed beside ONNX Runtime, and the milliseconds of a call. */
export function onnxTable({ cases = [], machine }: Results): string {
  const rows = cases.map((result) => {
    const { bantam, baseline, ratio, memoryRatio } = figuresOf(result, machine.cores);
    const milliseconds = (rate: number | null): string =>
      rate === null ? '' : precise((1000 * result.samplesPerStep) / rate);
    return [
      result.model ?? '',
      kinds[result.kind],
      result.precision,
      String(result.samplesPerStep),
      milliseconds(bantam),
      milliseconds(baseline),
      precise(bantam),
      precise(baseline),
      ratio === null
        ? ''
        : `**${times(ratio.median)}** (${precise(ratio.lowest)} to ${times(ratio.highest)})`,
      memoryRatio === null ? '' : memoryRatio.toFixed(2),
    ];
  });
  const header = [
    'model',
    'work',
    'precision',
    'batch',
    'Bantam, ms',
    'ONNX Runtime, ms',
    'Bantam, samples/s',
    'ONNX Runtime, samples/s',
    'ratio (range)',
    'memory, ratio',
  ];
  return markdownTable(header, rows, { left: 3 });
}

/** Retrieval on held-out pairs after the same time of training, the median and range over seeds. */
export function accuracyTable({
  model,
  seconds,
  batch,
  pairs,
  repetitions,
}: AccuracyResult): string {
  const row = (name: string, learned: readonly Learned[]): string[] => {
    const spreadOf = (values: readonly number[], shown: (value: number) => string): string => {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const range = values.length === 1 ? '' : ` (${shown(low)} to ${shown(high)})`;
      return shown(median(values)) + range;
    };
    const percent = (value: number): string => (100 * value).toFixed(1);
    const recalls = learned.map(meanRecalls);
    return [
      name,
      spreadOf(
        learned.map(({ samples }) => samples),
        String,
      ),
      spreadOf(
        recalls.map(([one]) => one),
        percent,
      ),
      spreadOf(
        recalls.map(([, ten]) => ten),
        percent,
      ),
    ];
  };
  const [one, ten] = chanceRecalls(pairs.heldOut).map((value) => (100 * value).toFixed(1));
  const baseline = repetitions.flatMap((repetition) => repetition.baseline ?? []);
  const rows = [
    row(
      'Bantam',
      repetitions.map(({ bantam }) => bantam),
    ),
    ...(baseline.length === 0 ? [] : [row('OpenCLIP', baseline)]),
    ['chance', '', one ?? '', ten ?? ''],
  ];
  const title = `\`${model}\`, ${seconds} seconds, batches of ${batch}: ${pairs.train} pairs to train on, ${pairs.heldOut} held out.`;
  const header = ['implementation', 'samples', 'R@1, %', 'R@10, %'];
  return `${title}\n\n${markdownTable(header, rows)}`;
}
