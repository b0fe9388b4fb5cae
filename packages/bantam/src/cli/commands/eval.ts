import { existsSync } from 'node:fs';
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
  readonly classes?: string;
}

/** `bantam eval` */
export function addEval(program: Command): void {
  const command = program
    .command('eval')
    .description('evaluate a model: zero-shot classification and retrieval')
    .requiredOption('--model <name>', MODEL_NAMES)
    .requiredOption(
      '--data <spec...>',
      'data sets: csv:FILE, coco:FILE, folder:DIRECTORY, emoji, …',
    )
    .option(
      '--tasks <names>',
      'zero-shot, retrieval, or both with a comma (default: all that the data allow)',
    )
    .option(
      '--templates <list>',
      'prompt templates: imagenet, cifar, …, or a file: a prompt with {} in each line, a JSON list, or a JSON object with the prompts of each class (default: those of the data)',
    )
    .option(
      '--classes <file>',
      'class names in place of those of the data: one in each line, or a JSON list',
    )
    .addOption(precisionOption());
  examples(command, [
    'bantam eval --model quickstart/model --data emoji',
    'bantam eval --model runs/first/model --data folder:test --tasks zero-shot --json',
    'bantam eval --model runs/first/model --data folder:test --classes names.txt --templates cupl.json',
    'bantam eval --model runs/first/model --data folder:test --precision int8',
    'bantam eval --model ViT-B-32/openai --data folder:test --templates imagenet',
  ]);
  action(command, async ({ model, data, tasks, templates, classes, ...flags }: EvalFlags) => {
    const { evaluate, formatTable } = await import('../../eval/index.js');
    const { NoteBook, readClassNames } = await import('../../data/index.js');
    const prompts = templates === undefined ? undefined : await readTemplateOption(templates);
    const notes = new NoteBook();
    const names = classes === undefined ? undefined : await readClassNames(classes, notes);
    const progress = new Progress();
    for (const { message } of notes.notes) progress.note(message);
    const { loaded, precision } = await loadToRun(model, flags, progress);
    const options: EvaluateOptions = {
      precision,
      // The library reports an unknown task.
      ...(tasks !== undefined && { tasks: tasks.split(',') as EvaluateOptions['tasks'] & {} }),
      ...(prompts !== undefined && { templates: prompts }),
      ...(names !== undefined && { classes: names }),
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

/** Prompts by the name of a list or of a file. */
async function readTemplateOption(
  value: string,
): Promise<NonNullable<EvaluateOptions['templates']>> {
  const { templateLists } = await import('../../eval/index.js');
  if (Object.hasOwn(templateLists, value) || !existsSync(value)) return value;
  const { readPrompts } = await import('../../data/index.js');
  return readPrompts(value);
}

function broken(results: readonly EvaluationResult[]): string[] {
  const counts = new Map(results.map(({ spec, quarantined }) => [spec, quarantined]));
  return [...counts]
    .filter(([, count]) => count > 0)
    .map(([spec, count]) => `${count} images of ${spec} could not be read and are left out.`);
}
