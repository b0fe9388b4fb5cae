import { existsSync } from 'node:fs';
import { InvalidArgumentError, type Command } from 'commander';
import type { Prompts } from '../../data/index.js';
import type { PlanEvent, PlanTrainingOptions } from '../../study/index.js';
import { countOf } from '../../base/count-of.js';
import { UsageError } from '../../base/errors.js';
import { shellWord } from '../../base/shell-word.js';
import { action, examples } from '../command.js';
import { stopOnInterrupt } from '../interrupt.js';
import { formatDuration } from '../output.js';
import { Progress } from '../progress.js';
import { showStudy } from '../study-progress.js';
import { nameList, positiveInteger } from '../values.js';

interface PlanFlags {
  readonly data: string;
  readonly budget: string;
  readonly metric?: string;
  readonly pilots: number;
  readonly validate: string;
  readonly classes?: string;
  readonly templates?: string;
  readonly models?: readonly string[];
  readonly scores?: string;
  readonly score: string;
  readonly out: string;
  readonly force?: true;
  readonly threads?: number;
  readonly memory?: number;
}

/** `bantam plan` */
export function addPlan(program: Command): void {
  const command = program
    .command('plan')
    .description('find out what to train on some data within a budget, by short pilots')
    .requiredOption('--data <spec>', 'training data, as bantam train takes them')
    .requiredOption('--budget <time>', 'time for pilots and training together: 30m, 8h')
    .option(
      '--metric <name>',
      'what is maximised: retrieval, zero-shot, or a metric of bantam eval (default: by the captions)',
    )
    .option(
      '--pilots <part>',
      'part of the budget for pilots: 10%, or 0 for none; before them speeds are timed for at most a twentieth of the budget and 5 minutes, without pilots 1 minute',
      part,
      0.1,
    )
    .option(
      '--validate <spec>',
      'data to measure on; held-out: a part of the training data',
      'held-out',
    )
    .option(
      '--classes <file>',
      'zero-shot: classes in place of those of the validation data, a name in each line or a JSON list',
    )
    .option(
      '--templates <list>',
      'zero-shot: prompt templates, the name of a list or a file (default: those of the data)',
    )
    .option('--models <presets>', 'choose among these presets alone, with commas', nameList)
    .option(
      '--scores <file>',
      'scores of bantam data score; fractions of the data are tried as well',
    )
    .option('--score <name>', 'the score by which they are kept', 'similarity')
    .option('--out <folder>', 'folder of the plan; the same command resumes it', 'plan')
    .option('--force', 'replace another plan in the folder')
    .option('--threads <n>', 'threads of pilots and run (default: all cores)', positiveInteger)
    .option('--memory <size>', 'memory that training may take, e.g. 2GB (default: all)', gigabytes);
  examples(command, [
    'bantam plan --data csv:pairs.csv --budget 8h',
    'bantam plan --data folder:photos --budget 2h --metric zero-shot --pilots 20%',
    'bantam plan --data csv:pairs.csv --budget 30m --validate csv:val.csv --threads 2 --memory 4GB',
    'bantam plan --data csv:pairs.csv --budget 8h --pilots 0 --out plan-prior',
    'bantam train --from-plan plan/plan.json --out runs/planned',
  ]);
  action(command, async (flags: PlanFlags) => {
    const { out, force, threads } = flags;
    // Before anything loads libtorch; pilots inherit it.
    if (threads !== undefined) process.env.OMP_NUM_THREADS = String(threads);
    const { planPaths, planTraining } = await import('../../study/index.js');
    const { formatTrainingChoices } = await import('../plan-table.js');
    const progress = new Progress();
    const signal = stopOnInterrupt('stopping; the same command resumes');
    try {
      const plan = await planTraining(await planOptions(flags), {
        out,
        ...(force !== undefined && { force }),
        signal,
        onEvent: showPlan(progress),
      });
      progress.done();
      const { renderPlan } = await import('../../report/index.js');
      const { writeFileAtomic } = await import('@bantam/torch');
      const { plan: file, report } = planPaths(out);
      const made = ['bantam', ...process.argv.slice(2)].map(shellWord).join(' ');
      const page = renderPlan(plan, { command: made, date: new Date() });
      writeFileAtomic(report, [Buffer.from(page)]);
      return {
        text: `${formatTrainingChoices(plan, file)}\n\nPlan: ${file}\nPage: ${report}`,
        json: plan,
      };
    } finally {
      progress.done();
    }
  });
}

async function planOptions(flags: PlanFlags): Promise<PlanTrainingOptions> {
  const { data, budget, metric, pilots, validate, memory, scores, score } = flags;
  const { NoteBook, readClassNames, readPrompts } = await import('../../data/index.js');
  const { templates, classes, models } = flags;
  if (metric === 'retrieval' && (templates !== undefined || classes !== undefined)) {
    throw new UsageError(
      'Retrieval has neither classes nor templates; leave out --classes and --templates, or plan with --metric zero-shot.',
    );
  }
  return {
    data,
    budget,
    metric,
    pilots,
    validate,
    ...(memory !== undefined && { memory }),
    ...(scores !== undefined && { scores: { file: scores, score } }),
    ...(models !== undefined && { models }),
    ...(classes !== undefined && { classes: await readClassNames(classes, new NoteBook()) }),
    ...(templates !== undefined && {
      templates: existsSync(templates) ? promptList(await readPrompts(templates)) : templates,
    }),
  };
}

/** @throws UsageError for prompts of each class. */
function promptList(prompts: Prompts): readonly string[] {
  if (isList(prompts)) return prompts;
  throw new UsageError(
    'A plan takes the same prompts for all classes; name a file with a prompt in each line.',
  );
}

function isList(prompts: Prompts): prompts is readonly string[] {
  return Array.isArray(prompts);
}

function showPlan(progress: Progress): (event: PlanEvent) => void {
  let ofPilots = showStudy(progress, 'pilots');
  return (event) => {
    // A task of its own, so that each stage is shown as soon as it begins.
    if (event.kind === 'stage') progress.update(`plan  ${event.message}`, '');
    else if (event.kind === 'rung') {
      const { rung, rungs, pilots, seconds } = event;
      const name = `rung ${rung} of ${rungs}`;
      progress.note(`${name}: ${countOf(pilots, 'pilot')} of ${formatDuration(seconds)}`);
      ofPilots = showStudy(progress, `pilots, ${name}`);
    } else ofPilots(event);
  };
}

/** Reads `10%` or `0.1`. */
function part(text: string): number {
  const [, number = '', percent = ''] = /^(\d+(?:\.\d+)?)\s*(%?)$/.exec(text.trim()) ?? [];
  const value = percent === '%' ? Number(number) / 100 : Number(number);
  if (number === '' || !(value >= 0 && value < 0.9)) {
    throw new InvalidArgumentError('It must be a part such as 10%, or 0, and below 90%');
  }
  return value;
}

/** Reads `2GB`, `512MB` or gigabytes. */
function gigabytes(text: string): number {
  const [, number = '', unit = 'gb'] = /^(\d+(?:\.\d+)?)\s*([mg]b)?$/i.exec(text.trim()) ?? [];
  const value = unit.toLowerCase() === 'mb' ? Number(number) / 1000 : Number(number);
  if (number === '' || !(value > 0)) {
    throw new InvalidArgumentError('It must be an amount of memory such as 2GB');
  }
  return value;
}
