import type { Command } from 'commander';
import { BantamError, UsageError } from '../../errors.js';
import type { StrategyKind, TrainOptions, TrainResult, ValidationRow } from '../../train/index.js';
import { does, examples } from '../command.js';
import { stopOnInterrupt } from '../interrupt.js';
import { formatDuration } from '../output.js';
import { Progress } from '../progress.js';
import { showTraining } from '../train-progress.js';
import { formatPlan } from '../training-plan.js';
import { listed, namedValues, wholeNumber } from '../values.js';

interface TrainFlags {
  readonly model?: string;
  readonly data?: string;
  readonly out?: string;
  readonly budget?: string;
  readonly strategy?: string;
  readonly init?: string;
  readonly initImage?: string;
  readonly freezeInherited?: true;
  readonly teacher?: readonly string[];
  readonly reinforced?: string;
  readonly precision?: string;
  readonly seed?: number;
  readonly tokenizer?: string;
  readonly validate?: string;
  readonly patience?: number;
  readonly set?: Readonly<Record<string, string>>;
  readonly plan?: true;
  readonly resume?: string;
}

/** `bantam train` */
export function addTrain(program: Command): void {
  const command = program
    .command('train')
    .description('train a model from scratch, or go on with a run that was interrupted')
    .option(
      '--model <preset>',
      'model preset, e.g. RN50 or ViT-S-16 (default: by the number of distinct images)',
    )
    .option('--data <spec>', 'training data: csv:FILE, folder:DIRECTORY or emoji')
    .option('--out <run>', 'folder of the run, made by this command')
    .option('--budget <amount>', 'when to stop: 30m, 2h, 100ksamples, 1e15flops')
    .option(
      '--strategy <name>',
      'clip, clip-da, slip, flip, clipa, lit, siglip, fastclip, distill, siclip or coca (default: clip)',
    )
    .option('--init <dir>', 'start from this model directory: weights and tokenizer')
    .option('--init-image <dir>', "start from this model directory's image tower")
    .option('--freeze-inherited', 'keep what --init has of its teacher (bantam models inherit)')
    .option(
      '--teacher <dir>',
      'learn from the model in this directory, too (distill, siclip); repeatable',
      listed,
    )
    .option(
      '--reinforced <folder>',
      'learn from what teachers said in this set (bantam data reinforce), in place of --teacher',
    )
    .option('--precision <name>', 'auto, fp32 or bf16 (default: auto)')
    .option('--seed <n>', 'seed of every random choice (default: 0)', wholeNumber)
    .option('--tokenizer <path>', 'tokenizer.json or its folder (default: train on the captions)')
    .option('--validate <spec>', 'measure on these data on the way, and keep the best weights')
    .option('--patience <n>', 'end after so many validations without a better value', wholeNumber)
    .option('--set <name=value>', 'change a setting, e.g. train.lr=5e-4; repeatable', namedValues)
    .option('--plan', 'only say how much memory and time it would take, with --resume what remains')
    .option('--resume <run>', 'go on with this run from its last checkpoint');
  examples(command, [
    'bantam train --data csv:pairs.csv --out runs/first --budget 30m',
    'bantam train --model ViT-Nano-16-64 --data csv:pairs.csv --out runs/flip --budget 30m --strategy flip --set strategy.maskRatio=0.5',
    'bantam train --data csv:pairs.csv --out runs/small --budget 30m --strategy distill --teacher models/ViT-B-32',
    'bantam train --init runs/first/model --data csv:more.csv --out runs/tuned --budget 10m --set train.lr=1e-4',
    'bantam train --data csv:pairs.csv --out runs/best --budget 2h --validate csv:val.csv --patience 5',
    'bantam train --model ViT-S-16 --data csv:pairs.csv --out runs/s --budget 2h --plan',
    'bantam train --resume runs/first',
    'bantam train --resume runs/first --plan',
  ]);
  does(command, async (flags: TrainFlags) => {
    const { resume, plan = false, ...fresh } = flags;
    if (resume !== undefined && Object.keys(fresh).length > 0) {
      throw new UsageError(
        `--resume takes everything from the run's own configuration; leave out --${Object.keys(fresh).join(' and --')}.`,
      );
    }
    const options = resume === undefined ? trainOptions(fresh) : undefined;
    const { openValidator } = await import('../../eval/index.js');
    const { planResumed, planRun, resumeTraining, strategies, train } =
      await import('../../train/index.js');
    for (const name of ['teacher', 'reinforced'] as const) {
      if (fresh[name] !== undefined) requireStudent(name, fresh.strategy, strategies);
    }
    const progress = new Progress();
    const control = {
      signal: stopOnInterrupt('saving a checkpoint'),
      onEvent: showTraining(progress),
      openValidator,
    };
    try {
      if (plan) {
        const planned =
          options === undefined
            ? await planResumed(resume ?? '', control)
            : await planRun({ ...options, ...control });
        return { text: formatPlan(planned), json: planned };
      }
      const result =
        options === undefined
          ? await resumeTraining(resume ?? '', control)
          : await train({ ...options, ...control });
      return { text: describe(result), json: result };
    } finally {
      progress.done();
    }
  });
}

function trainOptions(flags: TrainFlags): TrainOptions {
  const {
    model,
    data,
    out,
    budget,
    init,
    precision,
    validate,
    patience,
    teacher,
    reinforced,
    set = {},
    ...rest
  } = flags;
  if (data === undefined || out === undefined || budget === undefined) {
    const missing = Object.entries({ data, out, budget })
      .filter(([, value]) => value === undefined)
      .map(([name]) => `--${name}`);
    throw new UsageError(
      `bantam train needs ${missing.join(', ')}, or --resume RUN; see bantam train --help.`,
    );
  }
  const settings = {
    ...set,
    ...(precision !== undefined && { 'train.precision': precision }),
    ...(teacher !== undefined && { 'strategy.teachers': JSON.stringify(teacher) }),
    ...(reinforced !== undefined && { 'strategy.reinforced': reinforced }),
    ...(validate !== undefined && { 'validation.data': validate }),
    ...(patience !== undefined && { 'validation.patience': String(patience) }),
  };
  const { strategy, initImage, freezeInherited, seed, tokenizer } = rest;
  return {
    ...(model !== undefined && { model }),
    ...(init !== undefined && { init }),
    ...(initImage !== undefined && { initImage }),
    ...(freezeInherited !== undefined && { freezeInherited }),
    data,
    out,
    budget,
    settings,
    ...(strategy !== undefined && { strategy }),
    ...(seed !== undefined && { seed }),
    ...(tokenizer !== undefined && { tokenizer }),
  };
}

/** @throws UsageError where the strategy has no use for a teacher. */
function requireStudent(
  flag: 'teacher' | 'reinforced',
  strategy = 'clip',
  strategies: readonly StrategyKind[],
): void {
  const students = strategies.filter(({ fields }) => 'teachers' in fields).map(({ type }) => type);
  if (students.includes(strategy)) return;
  throw new UsageError(
    `The strategy '${strategy}' has no teachers; leave out --${flag}, or choose --strategy ${students.join(' or ')}.`,
  );
}

/** @throws BantamError for a run that was interrupted: its work is not done. */
function describe({ run, model, steps, samples, seconds, loss, ...rest }: TrainResult): string {
  if (model === undefined) {
    throw new BantamError(
      `Training was interrupted at step ${steps} and saved; go on with "bantam train --resume ${run}".`,
    );
  }
  const lines = [
    `Trained ${steps} steps on ${samples} samples in ${formatDuration(seconds)}, loss ${loss.toFixed(3)}`,
    ...counted(rest.quarantined, ['broken sample', 'broken samples'], `${run}/quarantine.jsonl`),
    ...counted(rest.skipped, ['non-finite step', 'non-finite steps'], `${run}/non-finite.jsonl`),
    ...(rest.validation === undefined ? [] : [describeBest(rest.validation)]),
    `Model: ${model}`,
  ];
  return lines.join('\n');
}

function describeBest({ metric, value, step }: ValidationRow): string {
  return `Best validation: ${metric} ${value.toFixed(4)} at step ${step}, whose weights the model has`;
}

/** A line about what was left out; none where nothing was. */
function counted(count: number, [one, many]: readonly [string, string], file: string): string[] {
  if (count === 0) return [];
  return [`${count === 1 ? `1 ${one} was` : `${count} ${many} were`} skipped: ${file}`];
}
