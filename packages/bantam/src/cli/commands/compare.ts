import type { Command } from 'commander';
import { basename, dirname, resolve } from 'node:path';
import { UsageError } from '../../base/errors.js';
import { isFile } from '../../base/path-kind.js';
import type { EvaluateOptions, Hits } from '../../eval/index.js';
import { action, examples } from '../command.js';
import { showEmbedding } from '../embed-progress.js';
import { deviceOption, loadToRun, precisionOption, type InferenceFlags } from '../inference.js';
import { MODEL_NAMES } from '../model-names.js';
import { Progress } from '../progress.js';

interface CompareFlags extends InferenceFlags {
  readonly data?: readonly string[];
  readonly train?: string;
  readonly tasks?: string;
  readonly protocol?: string;
  readonly templates?: string;
  readonly out?: string;
  readonly cache: boolean;
}

/** `bantam compare` */
export function addCompare(program: Command): void {
  const command = program
    .command('compare')
    .description('say whether two models differ on the same images, and show where')
    .argument('<first>', `${MODEL_NAMES}; or a file of bantam eval --answers`)
    .argument('<second>', 'another one')
    .option('--data <spec...>', 'data sets, where a model directory is given')
    .option('--tasks <names>', 'zero-shot, retrieval, linear-probe (default: the first two)')
    .option('--protocol <names>', 'protocols, as of bantam eval')
    .option('--templates <list>', 'prompt templates (default: those of the data)')
    .option('--train <spec>', 'linear probe: training images')
    .option('--out <page.html>', 'write a page with the images on which the models disagree')
    .option('--no-cache', 'compute features anew and keep none')
    .addOption(precisionOption())
    .addOption(deviceOption());
  examples(command, [
    'bantam compare runs/a/model runs/b/model --data folder:test',
    'bantam compare runs/a/model runs/b/model --data emoji?style=noto --tasks zero-shot --out differ.html',
    'bantam compare a.json b.json',
  ]);
  action(command, async (flags: CompareFlags, first: string, second: string) => {
    const { compareAnswers, formatComparisons } = await import('../../eval/index.js');
    const progress = new Progress();
    try {
      const names = namesOf(first, second);
      const answers: [readonly Hits[], readonly Hits[]] = [
        await answersFrom(first, flags, progress),
        await answersFrom(second, flags, progress),
      ];
      const comparisons = compareAnswers(...answers);
      const lines = [formatComparisons(comparisons, names)];
      if (flags.out !== undefined) {
        const { renderComparison } = await import('../../report/index.js');
        const { writeFileAtomic } = await import('@bantam/torch');
        const { data = [] } = flags;
        const page = await renderComparison(comparisons, { names, specs: data, date: new Date() });
        writeFileAtomic(flags.out, [Buffer.from(page)]);
        lines.push(`Page: ${flags.out}`);
      }
      return { text: lines.join('\n\n'), json: { models: [first, second], comparisons } };
    } finally {
      progress.done();
    }
  });
}

/** Answers of a file, or of a model that is measured now. */
async function answersFrom(
  model: string,
  flags: CompareFlags,
  progress: Progress,
): Promise<readonly Hits[]> {
  const { answersOf, FeatureStore, readAnswers } = await import('../../eval/index.js');
  if (model.endsWith('.json') && (await isFile(model))) return (await readAnswers(model)).answers;
  const { data, train, tasks, protocol, templates, cache } = flags;
  if (data === undefined) {
    throw new UsageError('Name the data to compare the models on with --data.');
  }
  const { evalDatasets } = await import('../../eval/index.js');
  const datasets = data
    .flatMap(evalDatasets)
    .map((dataset) => ({ ...dataset, ...(train !== undefined && { train }) }));
  const inference = await loadToRun(model, flags, progress);
  const variant = flags.precision === 'int8' ? { variant: 'int8' } : {};
  return answersOf(inference, datasets, {
    // The library reports an unknown task.
    ...(tasks !== undefined && { tasks: tasks.split(',') as EvaluateOptions['tasks'] & {} }),
    ...(protocol !== undefined && { protocols: protocol.split(',') }),
    ...(templates !== undefined && { templates }),
    ...(cache && { store: await FeatureStore.open(model, variant) }),
    onProgress: showEmbedding(progress),
    onStep: (dataset, message) => {
      progress.update(dataset, message);
    },
  });
}

/** Short names of two models that tell them apart. */
function namesOf(first: string, second: string): [string, string] {
  const short = (path: string): string => {
    const last = basename(resolve(path));
    return ['model', 'best'].includes(last) ? basename(dirname(resolve(path))) : last;
  };
  const names: [string, string] = [short(first), short(second)];
  if (resolve(first) === resolve(second)) {
    throw new UsageError(`"${first}" is compared with itself; name two models.`);
  }
  return names[0] === names[1] ? [first, second] : names;
}
