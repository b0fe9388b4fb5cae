/** `npm run bench`: measures Bantam beside OpenCLIP; `--help` shows the commands. */
import { appendFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Command, Option } from 'commander';
import { explain, makeFolder, positiveInteger, Progress } from 'bantam/internal';
import { measureAccuracy } from './accuracy.js';
import { cases, modelCase, selectCases } from './cases.js';
import { setUpBaseline } from './baseline.js';
import { measureOnnx, type OnnxPrecision } from './onnx-cases.js';
import type { Precision } from './protocol.js';
import { writeReport } from './report.js';
import type { CaseResult, Results, SkippedCase } from './results.js';
import { runCases, type RunCasesOptions } from './run-cases.js';
import { fullGrid, measureScaling, smallGrid } from './scaling.js';
import { openSession, type Session } from './session.js';
import { measureStartup } from './startup.js';
import { summary } from './summary.js';
import { accuracyTable, onnxTable, scalingTable, startupTable, zooTable } from './tables.js';
import { instructionLimits, type InstructionLimit } from './workers.js';

const progress = new Progress();

/** Options of all commands that measure. */
interface MeasureFlags {
  readonly json?: string;
  readonly repetitions: number;
  readonly slice: number;
  readonly batch: number;
  readonly threads?: number;
  readonly isa?: InstructionLimit;
}

function isaOption(): Option {
  const what = 'limit the instructions of both implementations alike (default: no limit)';
  return new Option('--isa <level>', what).choices(instructionLimits);
}

function addMeasureFlags(command: Command, { repetitions }: { repetitions: number }): Command {
  return command
    .option('--repetitions <n>', 'repetitions of each implementation', positiveInteger, repetitions)
    .option('--slice <seconds>', 'seconds of a slice, about', positiveInteger, 5)
    .option('--batch <n>', 'samples in a step', positiveInteger, 64)
    .option(
      '--threads <n>',
      "threads of each implementation (default: the machine's cores)",
      positiveInteger,
    )
    .addOption(isaOption())
    .option('--json <file>', 'write everything that was measured to this file');
}

function examples(command: Command, lines: readonly string[]): Command {
  const shown = lines.map((line) => `  npm run bench -- ${line}`).join('\n');
  return command.addHelpText('after', `\nExamples:\n${shown}`);
}

/** The command to measure the same again, wherever its results were written. */
function commandLine(args: readonly string[]): string {
  const kept = args.filter((arg, i) => !arg.startsWith('--json') && args[i - 1] !== '--json');
  return ['npm run bench --', ...kept].join(' ');
}

/** Fails before anything was measured where the results could not be written after it. */
async function checkOutput({ json }: { json?: string }): Promise<void> {
  if (json === undefined) return;
  makeFolder(dirname(json));
  await appendFile(json, '');
}

async function save(
  session: Session,
  { json }: { json?: string },
  measured: Omit<Results, 'format' | 'commandLine' | 'date' | 'machine'>,
): Promise<Results> {
  const results: Results = {
    format: 2,
    commandLine: commandLine(process.argv.slice(2)),
    date: new Date().toISOString(),
    machine: session.machine,
    ...measured,
  };
  if (json !== undefined) {
    await writeFile(json, `${JSON.stringify(results, null, 1)}\n`);
    progress.note(`written: ${json}`);
  }
  progress.done();
  return results;
}

function runOptions(
  session: Session,
  { repetitions, slice, batch, threads }: MeasureFlags,
): Omit<RunCasesOptions, 'trials' | 'workers'> {
  return {
    ...session,
    threads,
    repetitions,
    sliceSeconds: slice,
    batch,
    onProgress: (name, what) => {
      progress.update(name, what);
    },
    onResult: (result: CaseResult | SkippedCase) => {
      progress.note(summary(result, session.machine.cores));
    },
  };
}

const program = new Command('npm run bench --')
  .description('Measures Bantam and its baseline, OpenCLIP on PyTorch, on this machine.')
  .configureOutput({ outputError: () => undefined })
  .exitOverride();

examples(
  program
    .command('setup')
    .description("install the baseline with pip into a virtual environment in Bantam's cache")
    .action(async () => {
      const onOutput = (text: string): void => {
        const line = text.trim().split('\n').at(-1);
        progress.update('installing the baseline', line ?? '');
      };
      const { python, existed } = await setUpBaseline({ onOutput });
      progress.done();
      console.log(
        `${existed ? 'The baseline was there already' : 'The baseline is installed'}: ${python}`,
      );
    }),
  ['setup'],
);

interface RunFlags extends MeasureFlags {
  readonly cases: readonly string[];
  readonly trials: RunCasesOptions['trials'];
  readonly workers: number;
  readonly baseline: boolean;
  readonly device: string;
}

function deviceOption(): Option {
  return new Option('--device <name>', 'device of models and batches: cpu, cuda, cuda:N').default(
    'cpu',
  );
}

function trialsOption(usual: RunCasesOptions['trials']): Option {
  const what =
    'search the fastest settings of the baseline, or use the usual ones; torch.compile takes minutes for each case';
  return new Option('--trials <how>', what)
    .choices(['none', 'best', 'with-compile'])
    .default(usual);
}

examples(
  addMeasureFlags(
    program
      .command('run')
      .description('training steps, inference and loading, both implementations alternately')
      .option('--cases <glob...>', 'names of cases, * stands for any characters', ['*'])
      .addOption(trialsOption('best'))
      .option('--workers <n>', 'workers of each loader', positiveInteger, 2)
      .addOption(deviceOption())
      .option('--no-baseline', 'measure Bantam alone'),
    { repetitions: 5 },
  ).addHelpText('after', `\nCases:\n${cases.map(({ name }) => `  ${name}`).join('\n')}`),
  [
    'run --json results.json',
    "run --cases 'train/ViT-B-32/*' load/csv --repetitions 3",
    'run --cases train/ViT-B-32/bf16 --device cuda --batch 256',
  ],
).action(async (flags: RunFlags) => {
  await checkOutput(flags);
  const selected = selectCases(flags.cases);
  const { trials, workers, device, threads, isa } = flags;
  const session = await openSession({ threads, isa, withBaseline: flags.baseline, device });
  const outcome = await runCases(selected, { ...runOptions(session, flags), trials, workers });
  await save(session, flags, { command: 'run', ...outcome });
});

interface ZooFlags extends MeasureFlags {
  readonly device: string;
  readonly models?: readonly string[];
  readonly precision: Precision;
  readonly trials: RunCasesOptions['trials'];
  readonly baseline: boolean;
}

function precisionOption(): Option {
  return new Option('--precision <name>', 'precision of the towers')
    .choices(['bf16', 'fp32'])
    .default('bf16');
}

examples(
  addMeasureFlags(
    program
      .command('zoo')
      .description("size and speed of many presets, beside OpenCLIP's where it has the model")
      .option('--models <preset...>', 'presets (default: all)')
      .addOption(precisionOption())
      .addOption(trialsOption('none'))
      .addOption(deviceOption())
      .option('--no-baseline', 'measure Bantam alone'),
    { repetitions: 2 },
  ),
  ['zoo --json zoo.json', 'zoo --models ViT-B-32 RN50 --precision fp32'],
).action(async (flags: ZooFlags) => {
  await checkOutput(flags);
  const { threads, isa, device } = flags;
  const session = await openSession({ threads, isa, withBaseline: flags.baseline, device });
  const models = flags.models ?? session.bantam.presets;
  const options = { ...runOptions(session, flags), trials: flags.trials, workers: 1 };
  const results: CaseResult[] = [];
  const skipped: SkippedCase[] = [];
  for (const model of models) {
    const shared = session.baseline?.facts.models.includes(model) === true;
    const kinds = ['train', 'image'] as const;
    const outcome = await runCases(
      kinds.map((kind) => modelCase(kind, model, flags.precision)),
      { ...options, baseline: shared ? session.baseline : null },
    );
    results.push(...outcome.cases);
    skipped.push(...outcome.skipped);
  }
  const measured = { command: 'zoo', cases: results, skipped } as const;
  console.log(zooTable(await save(session, flags, measured)));
});

interface ScalingFlags extends Omit<MeasureFlags, 'threads'> {
  readonly model: string;
  readonly precision: Precision;
  readonly full?: true;
}

examples(
  program
    .command('scaling')
    .description('training speed and memory of Bantam by batch, image size, captions, threads')
    .option('--model <preset>', 'model', 'ViT-B-32')
    .addOption(precisionOption())
    .option('--full', 'a grid for curves instead of a small one')
    .option('--repetitions <n>', 'repetitions of each point', positiveInteger, 3)
    .option('--slice <seconds>', 'seconds of a slice, about', positiveInteger, 3)
    .option('--batch <n>', 'samples in a step where the batch is not the axis', positiveInteger, 64)
    .option('--json <file>', 'write everything that was measured to this file'),
  ['scaling --full --json scaling.json', 'scaling --model ViT-Nano-16-64 --precision fp32'],
).action(async (flags: ScalingFlags) => {
  await checkOutput(flags);
  const session = await openSession({ withBaseline: false });
  const { scaling, skipped } = await measureScaling({
    ...flags,
    sliceSeconds: flags.slice,
    grid: flags.full === true ? fullGrid : smallGrid,
    onProgress: (what) => {
      progress.update('scaling', what);
    },
  });
  for (const { name, reason } of skipped) progress.note(`${name}: skipped. ${reason}`);
  await save(session, flags, { command: 'scaling', scaling, skipped });
  console.log(scalingTable(scaling));
});

interface StartupFlags {
  readonly models: readonly string[];
  readonly repetitions: number;
  readonly batch: number;
  readonly json?: string;
}

examples(
  program
    .command('startup')
    .description('seconds from the start of bantam train to the end of its first step')
    .option('--models <preset...>', 'models', ['ViT-Nano-16-64', 'ViT-B-32'])
    .option('--repetitions <n>', 'starts of each', positiveInteger, 5)
    .option('--batch <n>', 'samples in a step', positiveInteger, 64)
    .option('--json <file>', 'write everything that was measured to this file'),
  ['startup --json startup.json'],
).action(async (flags: StartupFlags) => {
  await checkOutput(flags);
  const session = await openSession({ withBaseline: false });
  const onProgress = (what: string): void => {
    progress.update('startup', what);
  };
  const startup = await measureStartup({ ...flags, onProgress });
  await save(session, flags, { command: 'startup', startup });
  console.log(startupTable(startup));
});

interface OnnxFlags {
  readonly models: readonly string[];
  readonly precisions: readonly OnnxPrecision[];
  readonly batches: readonly string[];
  readonly repetitions: number;
  readonly slice: number;
  readonly threads?: number;
  readonly json?: string;
}

examples(
  program
    .command('onnx')
    .description('images and captions beside ONNX Runtime in Node, one at a time and in batches')
    .option('--models <preset...>', 'models', [
      'ViT-B-32',
      'ViT-Nano-16-64',
      'ModifiedResNet-Nano-64',
    ])
    .addOption(
      new Option('--precisions <name...>', "int8 is compared with ONNX Runtime's q8")
        .choices(['fp32', 'int8'])
        .default(['fp32', 'int8']),
    )
    .option('--batches <n...>', 'samples of a call', ['1', '16'])
    .option('--repetitions <n>', 'repetitions of each implementation', positiveInteger, 5)
    .option('--slice <seconds>', 'seconds of a slice, about', positiveInteger, 2)
    .option('--threads <n>', 'threads of each (default: the cores)', positiveInteger)
    .option('--json <file>', 'write everything that was measured to this file'),
  ['onnx --json onnx.json', 'onnx --models ViT-B-32 --batches 1'],
).action(async (flags: OnnxFlags) => {
  await checkOutput(flags);
  const session = await openSession({ threads: flags.threads, withBaseline: true });
  const outcome = await measureOnnx({
    ...session,
    ...runOptions(session, { ...flags, batch: 1 }),
    models: flags.models,
    precisions: flags.precisions,
    batches: flags.batches.map(positiveInteger),
  });
  console.log(onnxTable(await save(session, flags, { command: 'onnx', ...outcome })));
});

interface AccuracyFlags {
  readonly data: string;
  readonly model: string;
  readonly seconds: number;
  readonly batch: number;
  readonly heldOut: number;
  readonly workers: number;
  readonly repetitions: number;
  readonly threads?: number;
  readonly baseline: boolean;
  readonly json?: string;
}

examples(
  program
    .command('accuracy')
    .description('retrieval on held-out pairs after both have trained for the same time')
    .requiredOption('--data <spec>', 'image files with captions, such as csv:pairs.csv')
    .option('--model <preset>', 'model', 'ViT-Nano-8-64')
    .option('--seconds <n>', 'seconds of training of each', positiveInteger, 60)
    .option('--batch <n>', 'pairs of a step', positiveInteger, 64)
    .option('--held-out <fraction>', 'fraction of the images to measure on', Number, 0.1)
    .option('--workers <n>', 'workers of each loader', positiveInteger, 2)
    .option('--repetitions <n>', 'repetitions, each with a seed of its own', positiveInteger, 1)
    .option('--threads <n>', 'threads of each (default: the cores)', positiveInteger)
    .option('--no-baseline', 'measure Bantam alone')
    .option('--json <file>', 'write everything that was measured to this file'),
  ['accuracy --data csv:pairs.csv --seconds 480 --json accuracy.json'],
).action(async (flags: AccuracyFlags) => {
  await checkOutput(flags);
  const session = await openSession({ threads: flags.threads, withBaseline: flags.baseline });
  const onProgress = (what: string): void => {
    progress.update('accuracy', what);
  };
  const accuracy = await measureAccuracy({ ...flags, ...session, onProgress });
  await save(session, flags, { command: 'accuracy', accuracy });
  console.log(accuracyTable(accuracy));
});

examples(
  program
    .command('report')
    .description("fill the documentation's tables and draw its charts from results")
    .argument('<files...>', 'files that --json wrote')
    .option('--docs <folder>', 'the documentation', 'docs'),
  ['report results.json zoo.json'],
).action(async (files: string[], { docs }: { docs: string }) => {
  for (const path of await writeReport(files, docs)) console.log(`written: ${path}`);
});

// So that workers end with the benchmark.
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => process.exit(signal === 'SIGINT' ? 130 : 143));
}

try {
  await program.parseAsync();
} catch (error) {
  progress.done();
  const { message, exitCode } = explain(error);
  if (message !== '') process.stderr.write(`error: ${message}\n`);
  process.exitCode = exitCode;
}
