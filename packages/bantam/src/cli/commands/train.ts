import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { BantamError, UsageError } from '../../base/errors.js';
import type { ReadChoice } from '../../study/index.js';
import type { StrategyKind, TrainOptions, TrainResult, ValidationRow } from '../../train/index.js';
import { action, examples } from '../command.js';
import { refuseNested } from '../helpers.js';
import { fetchModel, MODEL_NAMES } from '../model-names.js';
import { deviceOption } from '../inference.js';
import { stopOnInterrupt } from '../interrupt.js';
import {
  argumentsWithout,
  endWithLauncher,
  launch,
  resumeArguments,
  tellJoined,
  tellLoss,
} from '../launch.js';
import { countOf } from '../../base/count-of.js';
import { formatDuration } from '../output.js';
import { Progress } from '../progress.js';
import { showTraining } from '../train-progress.js';
import { formatPlan } from '../training-plan.js';
import { listed, namedValues, positiveInteger, wholeNumber } from '../values.js';

interface TrainFlags {
  readonly model?: string;
  readonly data?: string;
  readonly out?: string;
  readonly budget?: string;
  readonly strategy?: string;
  readonly init?: string;
  readonly initImage?: string;
  readonly fineTune?: string;
  readonly freeze?: readonly string[];
  readonly freezeInherited?: true;
  readonly teacher?: readonly string[];
  readonly reinforced?: string;
  readonly precision?: string;
  readonly device?: string;
  readonly seed?: number;
  readonly tokenizer?: string;
  readonly validate?: string;
  readonly patience?: number;
  readonly set?: Readonly<Record<string, string>>;
  readonly plan?: true;
  readonly verbose?: true;
  readonly resume?: string;
  readonly processes?: number;
  readonly restarts?: number;
  readonly shardOptimizer?: true;
  readonly fromPlan?: string;
  readonly choice?: number;
}

/** `bantam train` */
export function addTrain(program: Command): void {
  const command = program
    .command('train')
    .description('train a model, or resume an interrupted run')
    .option(
      '--model <preset>',
      'model preset, e.g. RN50 or ViT-S-16 (default: by the number of distinct images)',
    )
    .option('--data <spec>', 'training data: csv:FILE, folder:DIRECTORY, wds:SHARDS, mix:FILE, …')
    .option('--out <run>', 'new folder of the run')
    .option(
      '--budget <amount>',
      'training budget: 30m, 2h, 100ksamples, 3epochs, 1e15flops (default with --init: 10epochs)',
    )
    .option(
      '--strategy <name>',
      'clip, clip-da, slip, flip, clipa, lit, siglip, fastclip, distill, siclip or coca (default: clip)',
    )
    .option('--init <name>', `initialise with the weights and tokenizer of a model: ${MODEL_NAMES}`)
    .option('--init-image <name>', "initialise with a model's image tower")
    .option(
      '--fine-tune <method>',
      'fine-tuning of --init: full (all weights), lora or lp-ft (default: full)',
    )
    .option(
      '--freeze <part>',
      'freeze image or text, or parameters by a pattern of their names; repeatable',
      listed,
    )
    .option(
      '--freeze-inherited',
      'freeze the parameters that --init inherited (bantam models inherit)',
    )
    .option(
      '--teacher <dir>',
      'distil from this teacher as well (distill, siclip); repeatable',
      listed,
    )
    .option(
      '--reinforced <folder>',
      'distil from the stored teacher embeddings of this reinforced data set (bantam data reinforce), in place of --teacher',
    )
    .option('--precision <name>', 'auto, fp32, bf16, fp16 or fp64 (default: auto)')
    .addOption(deviceOption())
    .option('--seed <n>', 'random seed (default: 0)', wholeNumber)
    .option(
      '--tokenizer <path>',
      'tokenizer.json, a .model file of SentencePiece, or a folder of either (default: train on the captions)',
    )
    .option(
      '--validate <spec>',
      'validate on these data during training, and keep the best weights; held-out: on a part of the training data; none: not at all (default: held-out if the run passes over 1,000 or more records 4 times or more)',
    )
    .option('--patience <n>', 'stop early after n validations without an improvement', wholeNumber)
    .option('--set <name=value>', 'change a setting, e.g. train.lr=5e-4; repeatable', namedValues)
    .option('--plan', 'only estimate the memory and time of the run, with --resume of its rest')
    .option('--from-plan <file>', 'train a choice of a plan.json that bantam plan wrote')
    .option('--choice <n>', 'with --from-plan: which one (default: 1, the first)', positiveInteger)
    .option('--verbose', 'print the groups of parameters also if they train alike')
    .option('--resume <run>', 'resume this run from its last checkpoint')
    .option(
      '--processes <n>',
      'train with n processes of this machine, which share every batch (default: 1; under torchrun or srun: theirs)',
      positiveInteger,
    )
    .option(
      '--restarts <n>',
      'start failed processes again from the last checkpoint, at most n times (default: 0)',
      wholeNumber,
    )
    .option(
      '--shard-optimizer',
      "divide the optimizer's state among the processes: less memory, the same weights",
    );
  examples(command, [
    'bantam train --data csv:pairs.csv --out runs/first --budget 30m',
    'bantam train --model ViT-Nano-16-64 --data csv:pairs.csv --out runs/flip --budget 30m --strategy flip --set strategy.maskRatio=0.5',
    'bantam train --data csv:pairs.csv --out runs/small --budget 30m --strategy distill --teacher models/ViT-B-32',
    'bantam train --init runs/first/model --data csv:more.csv --out runs/tuned',
    'bantam train --data csv:pairs.csv --out runs/best --budget 2h --validate csv:val.csv --patience 5',
    'bantam train --init ViT-B-32/openai --data csv:products.csv --out runs/tuned --budget 2h --fine-tune lora',
    'bantam train --init hf:openai/clip-vit-base-patch32 --data csv:products.csv --out runs/tuned --freeze image --set train.layerDecay=0.8',
    'bantam train --model ViT-S-16 --data csv:pairs.csv --out runs/s --budget 2h --plan',
    'bantam train --from-plan plan/plan.json --out runs/planned',
    'bantam train --resume runs/first',
    'bantam train --resume runs/first --device cuda',
    'bantam train --resume runs/first --plan',
    'bantam train --data csv:pairs.csv --out runs/four --budget 2h --processes 4 --restarts 3',
    'torchrun --nproc-per-node 4 --no-python bantam train --data csv:pairs.csv --out runs/four --budget 2h',
  ]);
  action(command, async (flags: TrainFlags) => {
    const { resume, plan = false, verbose = false, device, processes, restarts, ...fresh } = flags;
    if (resume !== undefined && Object.keys(fresh).length > 0) {
      throw new UsageError(
        `--resume takes everything from the run's own configuration; leave out --${Object.keys(fresh).join(' and --')}.`,
      );
    }
    if (processes !== undefined || restarts !== undefined) {
      await launchTraining(flags);
      return null;
    }
    endWithLauncher();
    const { joinWorld, planResumed, planRun, resumeTraining, train } =
      await import('../../train/index.js');
    const world = plan ? null : await joinWorld();
    tellJoined();
    const progress = new Progress();
    const planned =
      fresh.fromPlan === undefined ? undefined : await readPlanned(fresh, fresh.fromPlan);
    if (planned?.change !== undefined && world?.isFirst !== false) progress.note(planned.change);
    const options =
      resume !== undefined ? undefined : (planned?.options ?? (await trainOptions(fresh)));
    const control = {
      ...(device !== undefined && { device }),
      world,
      signal: stopOnInterrupt('saving a checkpoint'),
      onEvent: showTraining(progress, { verbose }),
    };
    try {
      if (plan) {
        const cost =
          options === undefined
            ? await planResumed(resume ?? '', control)
            : await planRun({ ...options, ...control });
        return { text: formatPlan(cost), json: cost };
      }
      const result =
        options === undefined
          ? await resumeTraining(resume ?? '', control)
          : await train({ ...options, ...control });
      await world?.leave();
      if (world?.isFirst === false) return null;
      // The prediction is of one process on the CPU.
      const isAsPlanned = world === null && device === undefined;
      return {
        text: await describe(result, isAsPlanned ? planned?.predicted : undefined),
        json: result,
      };
    } catch (error) {
      if (world !== null) await tellLoss(error);
      throw error;
    } finally {
      progress.done();
    }
  });
}

/** Starts this command as several processes. */
async function launchTraining({
  processes = 1,
  restarts = 0,
  plan,
  resume,
  out,
  device,
}: TrainFlags): Promise<void> {
  if (plan === true) {
    throw new UsageError('--plan plans the training of one process; leave out --processes.');
  }
  refuseNested(['--processes', '--restarts']);
  const { runPaths } = await import('../../train/index.js');
  const run = resume ?? out;
  // Of another training: a failure of this one must not resume it.
  const isOthers = resume === undefined && run !== undefined && existsSync(runPaths(run).config);
  process.exitCode = await launch({
    processes,
    restarts,
    args: argumentsWithout(['--processes', '--restarts']),
    resume: () =>
      run === undefined || isOthers ? null : resumeArguments(run, runPaths(run).config, device),
  });
}

/** Flags that stand for settings, and the names of these. */
const flagSettings = {
  strategy: 'strategy.type',
  init: 'init.model',
  initImage: 'init.image',
  fineTune: 'fineTune.type',
  freezeInherited: 'init.freezeInherited',
  reinforced: 'strategy.reinforced',
  precision: 'train.precision',
  tokenizer: 'tokenizer.path',
  validate: 'validation.data',
  patience: 'validation.patience',
  shardOptimizer: 'train.shardOptimizer',
} as const;

type FreshFlags = Omit<
  TrainFlags,
  'resume' | 'plan' | 'verbose' | 'device' | 'processes' | 'restarts'
>;

/** A choice of a plan, whose options have everything but the run directory. */
async function readPlanned(
  flags: FreshFlags,
  file: string,
): Promise<Omit<ReadChoice, 'run'> & { readonly options: TrainOptions }> {
  const { out, choice = 1 } = flags;
  const own = ['out', 'choice', 'fromPlan'];
  const other = Object.keys(flags).find((name) => !own.includes(name));
  if (other !== undefined) {
    throw new UsageError(
      `--from-plan takes everything from the plan; leave out --${other}, or run the command that the plan has for the choice with your changes.`,
    );
  }
  if (out === undefined) {
    throw new UsageError('bantam train --from-plan needs --out, the new folder of the run.');
  }
  const { readChoice } = await import('../../study/index.js');
  const { run, ...rest } = await readChoice(file, choice);
  return { options: { ...run, out }, ...rest };
}

async function trainOptions(flags: FreshFlags): Promise<TrainOptions> {
  if (flags.choice !== undefined) {
    throw new UsageError('--choice is one of a plan; name the plan with --from-plan.');
  }
  const { model, data, out, budget, teacher, freeze, seed, set = {} } = flags;
  const named: Record<string, string> = { ...set };
  for (const [flag, name] of Object.entries(flagSettings)) {
    const value = flags[flag as keyof typeof flagSettings];
    if (value !== undefined) named[name] = String(value);
  }
  if (teacher !== undefined) named['strategy.teachers'] = JSON.stringify(teacher);
  if (freeze !== undefined) named['train.freeze'] = JSON.stringify(freeze);
  const started = model ?? named['init.model'];
  const isFineTuned = named['init.model'] !== undefined;
  if (data === undefined || out === undefined || (budget === undefined && !isFineTuned)) {
    const missing = Object.entries({ data, out, ...(!isFineTuned && { budget }) })
      .filter(([, value]) => value === undefined)
      .map(([name]) => `--${name}`);
    throw new UsageError(
      `bantam train needs ${missing.join(', ')}, or --resume RUN; see bantam train --help.`,
    );
  }
  const progress = new Progress();
  for (const name of [named['init.model'], named['init.image'], ...(teacher ?? [])]) {
    if (name !== undefined) await fetchModel(name, progress);
  }
  const { readModelConfig } = await import('../../models/index.js');
  const { nameOf, strategies } = await import('../../train/index.js');
  const { runSettings } = await import('../settings.js');
  for (const name of ['teacher', 'reinforced'] as const) {
    if (flags[name] !== undefined) requireStudent(name, named['strategy.type'], strategies, nameOf);
  }
  const settings = await runSettings(named, () => {
    if (started !== undefined) return readModelConfig(started);
    throw new UsageError('--set model.… changes a model that --model or --init names; name one.');
  });
  return {
    ...(model !== undefined && { model }),
    data,
    out,
    ...(budget !== undefined && { budget }),
    ...(seed !== undefined && { seed }),
    ...settings,
  };
}

/** @throws UsageError if the strategy takes no teachers. */
function requireStudent(
  flag: 'teacher' | 'reinforced',
  strategy = 'clip',
  strategies: readonly StrategyKind[],
  nameOf: (kind: StrategyKind) => string,
): void {
  const students = strategies.filter(({ schema }) => 'teachers' in schema.entries).map(nameOf);
  if (students.includes(strategy)) return;
  throw new UsageError(
    `The strategy '${strategy}' has no teachers; leave out --${flag}, or choose --strategy ${students.join(' or ')}.`,
  );
}

/** @throws BantamError for a run that was interrupted: its work is not done. */
async function describe(result: TrainResult, predicted?: ReadChoice['predicted']): Promise<string> {
  const { run, model, steps, samples, seconds, loss, ...rest } = result;
  if (model === undefined) {
    throw new BantamError(
      `Training was interrupted at step ${steps} and saved; resume it with "bantam train --resume ${run}".`,
    );
  }
  const { describeSummary } = await import('../../train/index.js');
  const lines = [
    `Trained ${countOf(steps, 'step')} on ${countOf(samples, 'sample')} in ${formatDuration(seconds)}, loss ${loss.toFixed(3)}`,
    ...counted(rest.quarantined, ['broken sample', 'broken samples'], `${run}/quarantine.jsonl`),
    ...counted(rest.skipped, ['non-finite step', 'non-finite steps'], `${run}/non-finite.jsonl`),
    ...(rest.validation === undefined ? [] : [describeBest(rest.validation)]),
    ...(predicted === undefined ? [] : [describePredicted(predicted)]),
    ...(rest.validations === undefined ? [] : [describeSummary(rest.validations)]),
    `Model: ${model}`,
  ];
  return lines.join('\n');
}

function describeBest({ metric, value, step }: ValidationRow): string {
  return `Best validation: ${metric} ${value.toFixed(4)} at step ${step}; the model has its weights`;
}

function describePredicted({
  metric,
  value,
  band: [low, high],
}: NonNullable<ReadChoice['predicted']>): string {
  return `Predicted by the plan: ${metric} ${value.toFixed(4)}, 80 % band ${low.toFixed(4)} to ${high.toFixed(4)}`;
}

/** A line about skipped samples or steps, if there are any. */
function counted(count: number, [one, many]: readonly [string, string], file: string): string[] {
  if (count === 0) return [];
  return [`${count === 1 ? `1 ${one} was` : `${count} ${many} were`} skipped: ${file}`];
}
