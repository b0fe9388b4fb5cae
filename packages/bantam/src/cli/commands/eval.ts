import type { Command } from 'commander';
import type { EvaluateOptions, EvaluationResult } from '../../eval/index.js';
import { action, examples } from '../command.js';
import { showEmbedding } from '../embed-progress.js';
import { loadToRun, precisionOption, type PrecisionFlags } from '../inference.js';
import { MODEL_NAMES } from '../model-names.js';
import { Progress } from '../progress.js';

interface EvalFlags extends PrecisionFlags {
  readonly model: string;
  readonly data: readonly string[];
  readonly tasks?: string;
  readonly templates?: string;
}

/** `bantam eval` */
export function addEval(program: Command): void {
  const command = program
    .command('eval')
    .description('evaluate a model: zero-shot classification and retrieval')
    .requiredOption('--model <name>', MODEL_NAMES)
    .requiredOption('--data <spec...>', 'data sets: csv:FILE, folder:DIRECTORY or emoji')
    .option(
      '--tasks <names>',
      'zero-shot, retrieval, or both with a comma (default: all that the data allow)',
    )
    .option(
      '--templates <list>',
      'prompt templates: imagenet, cifar, … (default: those of the data)',
    )
    .addOption(precisionOption());
  examples(command, [
    'bantam eval --model quickstart/model --data emoji',
    'bantam eval --model runs/first/model --data folder:test --tasks zero-shot --json',
    'bantam eval --model runs/first/model --data folder:test --precision int8',
    'bantam eval --model ViT-B-32/openai --data folder:test --templates imagenet',
  ]);
  action(command, async ({ model, data, tasks, templates, ...flags }: EvalFlags) => {
    const { evaluate, formatTable } = await import('../../eval/index.js');
    const progress = new Progress();
    const { loaded, precision } = await loadToRun(model, flags, progress);
    const options: EvaluateOptions = {
      precision,
      // The library reports an unknown task.
      ...(tasks !== undefined && { tasks: tasks.split(',') as EvaluateOptions['tasks'] & {} }),
      ...(templates !== undefined && { templates }),
      onProgress: showEmbedding(progress),
    };
    try {
      const results = await evaluate(loaded, data, options);
      return { text: [formatTable(results), ...broken(results)].join('\n\n'), json: results };
    } finally {
      progress.done();
    }
  });
}

function broken(results: readonly EvaluationResult[]): string[] {
  const counts = new Map(results.map(({ spec, quarantined }) => [spec, quarantined]));
  return [...counts]
    .filter(([, count]) => count > 0)
    .map(([spec, count]) => `${count} images of ${spec} could not be read and are left out.`);
}
