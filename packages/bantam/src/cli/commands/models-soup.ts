import type { Command } from 'commander';
import { UsageError } from '../../base/errors.js';
import type { GreedySoupResult } from '../../eval/index.js';
import { action, examples } from '../command.js';
import { fetchModel, MODEL_NAMES } from '../model-names.js';
import { countOf } from '../../base/count-of.js';
import { formatPercent, formatTable } from '../output.js';
import { Progress } from '../progress.js';

interface SoupFlags {
  readonly out: string;
  readonly greedy?: true;
  readonly data?: string;
  readonly metric?: string;
}

/** `bantam models soup` */
export function addSoup(models: Command): void {
  const command = models
    .command('soup')
    .description('average the weights of models that were fine-tuned from the same one')
    .argument('<models...>', `two or more of: ${MODEL_NAMES}`)
    .requiredOption('--out <dir>', 'model directory to write')
    .option('--greedy', 'take only models with which the average is no worse on --data')
    .option('--data <spec>', 'greedy: data held out from fine-tuning')
    .option(
      '--metric <name>',
      'greedy: metric on them (default: acc1 for data with classes, else mean_recall@1)',
    );
  examples(command, [
    'bantam models soup runs/a/model runs/b/model runs/c/model --out soup',
    'bantam models soup runs/*/model --greedy --data csv:val.csv --out soup',
  ]);
  action(command, async (flags: SoupFlags, names: string[]) => {
    const { out, greedy = false, data, metric } = flags;
    if (!greedy && (data !== undefined || metric !== undefined)) {
      throw new UsageError(
        `--${data === undefined ? 'metric' : 'data'} belongs to a greedy soup; add --greedy, or leave it out.`,
      );
    }
    if (greedy && data === undefined) {
      throw new UsageError(
        'A greedy soup chooses on data that no model was trained on; name them with --data SPEC.',
      );
    }
    const progress = new Progress();
    try {
      for (const name of names) await fetchModel(name, progress);
      if (data === undefined) {
        const { averageModels } = await import('../../models/index.js');
        const result = await averageModels({ models: names, out });
        return { text: `Mean of ${countOf(names.length, 'model')}: ${out}`, json: result };
      }
      const { greedySoup } = await import('../../eval/index.js');
      const result = await greedySoup({
        models: names,
        data,
        out,
        ...(metric !== undefined && { metric }),
        onProgress: (message) => {
          progress.update('measuring', message);
        },
      });
      return { text: describe(result, data), json: result };
    } finally {
      progress.done();
    }
  });
}

/** The models in the order of trial, and what was taken. */
function describe({ out, metric, samples, steps, soup }: GreedySoupResult, data: string): string {
  const rows = steps.map(({ model, alone, soup: together, taken }) => [
    taken ? 'taken' : 'left out',
    model,
    formatPercent(alone),
    formatPercent(together),
  ]);
  const head = ['', 'model', 'alone', 'soup with it'];
  const taken = steps.filter((step) => step.taken).length;
  return [
    `${metric} on ${data}, ${countOf(samples, 'image')}`,
    formatTable([head, ...rows], { right: [2, 3] }),
    `Mean of ${taken} of ${steps.length} models, ${formatPercent(soup.value)}: ${out}`,
  ].join('\n\n');
}
