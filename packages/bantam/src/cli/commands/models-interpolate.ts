import type { Command } from 'commander';
import { UsageError } from '../../base/errors.js';
import type { MixingCurve } from '../../eval/index.js';
import { action, examples } from '../command.js';
import { fetchModel, MODEL_NAMES } from '../model-names.js';
import { countOf } from '../../base/count-of.js';
import { formatPercent, formatTable } from '../output.js';
import { Progress } from '../progress.js';
import { factorList, unitNumber } from '../values.js';

interface InterpolateFlags {
  readonly alpha?: number;
  readonly out?: string;
  readonly own?: readonly string[];
  readonly other?: readonly string[];
  readonly factors?: readonly number[];
  readonly metric?: string;
  readonly report?: string;
}

/** `bantam models interpolate` */
export function addInterpolate(models: Command): void {
  const command = models
    .command('interpolate')
    .description('mix the weights of a model before and after fine-tuning (WiSE-FT)')
    .argument('<before>', `model before fine-tuning: ${MODEL_NAMES}`)
    .argument('<after>', 'the fine-tuned model')
    .option(
      '--alpha <factor>',
      'weight of the fine-tuned model, 0 to 1 (default: 0.5; with --own the best of the curve)',
      unitNumber,
    )
    .option('--out <dir>', 'model directory to write')
    .option(
      '--own <spec...>',
      'measure the curve on data like those of fine-tuning, held out from it',
    )
    .option('--other <spec...>', 'and on data on which the model shall not become worse')
    .option('--factors <list>', 'factors of the curve (default: 0,0.1,…,1)', factorList)
    .option(
      '--metric <name>',
      'metric of the curve (default: acc1 for data with classes, else mean_recall@1)',
    )
    .option('--report <file>', 'write the curve as an HTML page');
  examples(command, [
    'bantam models interpolate ViT-B-32/openai runs/tuned/model --out wise',
    'bantam models interpolate runs/first/model runs/tuned/model --own csv:val.csv --other folder:photos --report curve.html',
    'bantam models interpolate runs/first/model runs/tuned/model --own csv:val.csv --other folder:photos --out wise',
  ]);
  action(command, async (flags: InterpolateFlags, before: string, after: string) => {
    checkFlags(flags);
    const progress = new Progress();
    try {
      for (const model of [before, after]) await fetchModel(model, progress);
      return await interpolate(flags, { before, after, progress });
    } finally {
      progress.done();
    }
  });
}

/** @throws UsageError for flags that have no effect or nothing to do. */
function checkFlags({ out, own, other, factors, metric, report }: InterpolateFlags): void {
  if (own !== undefined) return;
  const idle = Object.entries({ other, factors, metric, report }).find(
    ([, value]) => value !== undefined,
  );
  if (idle !== undefined) {
    throw new UsageError(
      `--${idle[0]} belongs to the curve over the factor; name the data that it is measured on with --own SPEC.`,
    );
  }
  if (out === undefined) {
    throw new UsageError(
      'Name the model directory to write with --out, or data to measure the curve on with --own.',
    );
  }
}

interface Wanted {
  readonly before: string;
  readonly after: string;
  readonly progress: Progress;
}

async function interpolate(flags: InterpolateFlags, { before, after, progress }: Wanted) {
  const { alpha, out, own, report } = flags;
  const { interpolateModels } = await import('../../models/index.js');
  const curve =
    own === undefined ? undefined : await measure(flags, own, { before, after, progress });
  const lines = curve === undefined ? [] : [describeCurve(curve)];
  if (curve !== undefined && report !== undefined) {
    const { renderMixingCurve } = await import('../../report/index.js');
    const { writeFileAtomic } = await import('@bantam/torch');
    writeFileAtomic(report, [Buffer.from(renderMixingCurve(curve, new Date()))]);
    lines.push(`Figure: ${report}`);
  }
  if (out === undefined) return { text: lines.join('\n\n'), json: { curve } };
  const factor = alpha ?? curve?.best ?? 0.5;
  const point = curve?.points.find((one) => one.alpha === factor);
  const isChosen = alpha === undefined && curve !== undefined && point !== undefined;
  const saved = await interpolateModels({
    from: before,
    to: after,
    alpha: factor,
    out,
    ...(isChosen && {
      chosenBy: {
        data: curve.data.map(({ spec }) => spec),
        rule: curve.rule,
        value: point.score,
      },
    }),
  });
  lines.push(
    `${formatPercent(1 - factor)} of ${before} and ${formatPercent(factor)} of ${after}: ${out}`,
  );
  return { text: lines.join('\n\n'), json: { ...saved, alpha: factor, ...(curve && { curve }) } };
}

async function measure(
  { other, factors, metric }: InterpolateFlags,
  own: readonly string[],
  { before, after, progress }: Wanted,
): Promise<MixingCurve> {
  const { mixingCurve } = await import('../../eval/index.js');
  return mixingCurve({
    from: before,
    to: after,
    own,
    ...(other !== undefined && { others: other }),
    ...(factors !== undefined && { factors }),
    ...(metric !== undefined && { metric }),
    onProgress: (message) => {
      progress.update('measuring', message);
    },
  });
}

/** The curve as a table, and the chosen factor with its rule. */
function describeCurve({ data, points, best, rule }: MixingCurve): string {
  const others = data.filter(({ role }) => role === 'other').length;
  const columns = data.map(({ metric, role }) => `${role}: ${metric}`);
  const rows = points.map(({ alpha, values, score }) => [
    alpha === best ? '*' : '',
    String(Number(alpha.toFixed(4))),
    ...values.map(({ value }) => formatPercent(value)),
    ...(others > 0 ? [formatPercent(score)] : []),
  ]);
  const chance = [
    '',
    'chance',
    ...data.map((one) => (one.chance === null ? '' : formatPercent(one.chance))),
  ];
  const head = ['', 'alpha', ...columns, ...(others > 0 ? ['mean of both'] : [])];
  const right = head.map((_, column) => column).slice(1);
  const names = data.map(
    ({ spec, role, samples }) => `${role}: ${spec}, ${countOf(samples, 'image')}`,
  );
  return [
    names.join('\n'),
    formatTable([head, ...rows, chance], { right }),
    `Best factor: ${best}, by ${rule}. It was chosen on these data, so its values are a little optimistic.`,
  ].join('\n\n');
}
