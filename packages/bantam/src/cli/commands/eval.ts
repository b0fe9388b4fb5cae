import { existsSync } from 'node:fs';
import { Option, type Command } from 'commander';
import { join } from 'node:path';
import { BantamError, UsageError } from '../../base/errors.js';
import type {
  EvalDataset,
  EvaluateOptions,
  EvaluationResult,
  Helpers,
  Hits,
  ImageNetSet,
  ProbeOptions,
} from '../../eval/index.js';
import { action, examples } from '../command.js';
import { showEmbedding } from '../embed-progress.js';
import { processesOption, withHelpers } from '../helpers.js';
import { deviceOption, loadToRun, precisionOption, type InferenceFlags } from '../inference.js';
import { fetchModel, MODEL_NAMES } from '../model-names.js';
import { countOf } from '../../base/count-of.js';
import { formatDuration, type Outcome } from '../output.js';
import { Progress } from '../progress.js';
import { numberList, positiveNumber } from '../values.js';

interface EvalFlags extends InferenceFlags {
  readonly model: readonly string[];
  readonly data?: readonly string[];
  readonly train?: string;
  readonly validation?: string;
  readonly tasks?: string;
  readonly protocol?: string;
  readonly templates?: string;
  readonly classes?: string;
  readonly groups?: string;
  readonly associations?: string;
  readonly layer?: 'representation' | 'embedding';
  readonly normalize?: true;
  readonly c?: number;
  readonly shots?: readonly number[];
  readonly fewShotMethod?: 'ridge' | 'logistic';
  readonly neighbours?: readonly number[];
  readonly details?: true;
  readonly answers?: string;
  readonly suite?: string;
  readonly root?: string;
  readonly baselines?: readonly string[];
  readonly out?: string;
  readonly cache: boolean;
  readonly processes?: number;
}

/** `bantam eval` */
export function addEval(program: Command): void {
  const command = program
    .command('eval')
    .description('evaluate a model: zero-shot classification, retrieval, probes, suites')
    .requiredOption('--model <name...>', `${MODEL_NAMES}; several for a suite`)
    .option(
      '--data <spec...>',
      'data sets: csv:FILE, coco:FILE, folder:DIRECTORY, wds:FOLDER, emoji, …',
    )
    .option(
      '--tasks <names>',
      'zero-shot, retrieval, linear-probe, few-shot, knn, with commas (default: zero-shot and retrieval, as the data allow)',
    )
    .option(
      '--protocol <names>',
      'openclip or big_vision (zero-shot), bantam or karpathy (retrieval), with commas (default: openclip,bantam)',
    )
    .option(
      '--templates <list>',
      'prompt templates: imagenet, cifar, dtd, …, or a file: a prompt with {} in each line, a JSON list, or a JSON object with the prompts of each class (default: those of the data)',
    )
    .option(
      '--classes <name>',
      'classes in place of those of the data: imagenet, imagenet-a, imagenet-r, or a file with a name in each line or a JSON list',
    )
    .option('--groups <fields>', 'fields of the metadata to group accuracy by, with commas')
    .option('--associations <file>', 'WinoGAViL: cues, candidates and associations (JSON lines)')
    .option('--train <spec>', 'probes: training images (default: three quarters of the data)')
    .option('--validation <spec>', 'linear probe: images to choose C on (default: a quarter)')
    .addOption(
      new Option(
        '--layer <name>',
        'probes: vectors before the projection, or the projected ones (default: representation)',
      ).choices(['representation', 'embedding']),
    )
    .option('--normalize', 'probes: scale each vector to length 1')
    .option('--c <number>', "linear probe: scikit-learn's C, instead of the search", positiveNumber)
    .option(
      '--shots <list>',
      'few-shot: images of each class (default: those of 1,5,10,25 that the data allow)',
      numberList,
    )
    .addOption(
      new Option(
        '--few-shot-method <name>',
        'ridge is that of big_vision (default: ridge)',
      ).choices(['ridge', 'logistic']),
    )
    .option('--neighbours <list>', 'knn: numbers (default: 10,20,100,200)', numberList)
    .option('--details', 'add classes, calibration and confusions')
    .option('--answers <file>', 'write right and wrong answers, for bantam compare')
    .option('--suite <name>', 'datacomp, vtab, imagenet-shifts, or a JSON file of data sets')
    .option('--root <dir>', "suite: folder of the data (default: the file's)")
    .option(
      '--baselines <files...>',
      'suite: results.json of other models, whose line effective robustness is measured against (default: the other models of the run)',
    )
    .option('--out <dir>', 'suite: folder for results and the report (default: eval/SUITE)')
    .option('--no-cache', 'compute features anew and keep none')
    .addOption(precisionOption())
    .addOption(deviceOption())
    .addOption(processesOption());
  examples(command, [
    'bantam eval --model quickstart/model --data emoji',
    'bantam eval --model runs/first/model --data folder:test --tasks zero-shot --json',
    'bantam eval --model runs/first/model --data folder:test --classes names.txt --templates cupl.json',
    'bantam eval --model ViT-B-32/openai --data folder:test --templates imagenet',
    'bantam eval --model runs/first/model --train folder:train --data folder:test --tasks linear-probe,few-shot',
    'bantam eval --model runs/a/model runs/b/model --suite datacomp --root evalsets',
    'bantam eval --model ViT-L-14/openai --data coco:captions.json --processes 2',
    'bantam eval --model runs/c/model --suite domains.json --baselines eval/domains/results.json --out eval/c',
  ]);
  action(command, ({ processes, ...flags }: EvalFlags) =>
    withHelpers(processes, (helpers) =>
      flags.suite === undefined
        ? evaluateData(flags, helpers)
        : evaluateSuite(flags, flags.suite, helpers),
    ),
  );
}

async function evaluateData(flags: EvalFlags, helpers: Helpers | undefined): Promise<Outcome> {
  const { data, tasks, cache } = flags;
  const [model, ...others] = flags.model;
  if (data === undefined) {
    throw new UsageError('Name the data to evaluate on with --data, or a suite with --suite.');
  }
  if (model === undefined || others.length > 0) {
    throw new UsageError(
      `${flags.model.length} models are evaluated together by a suite alone; name one model, or add --suite. Two models on the same data: bantam compare.`,
    );
  }
  for (const name of ['out', 'root', 'baselines'] as const) {
    if (flags[name] !== undefined) {
      throw new UsageError(`--${name} belongs to a suite; add --suite, or leave it out.`);
    }
  }
  const { evalDatasets, evaluate, FeatureStore, formatTable, writeAnswers } =
    await import('../../eval/index.js');
  const answers: Hits[] = [];
  const progress = new Progress();
  const classes = await readClassesOption(flags.classes, progress);
  const prompts =
    flags.templates === undefined ? undefined : await readTemplateOption(flags.templates);
  const datasets = data.flatMap(evalDatasets).map((dataset): EvalDataset => {
    const { train, validation, groups, associations } = flags;
    return {
      ...dataset,
      ...(train !== undefined && { train }),
      ...(validation !== undefined && { validation }),
      ...(classes.set !== undefined && { classes: classes.set }),
      ...(groups !== undefined && { groups: groups.split(',') }),
      ...(associations !== undefined && { associations }),
    };
  });
  const { loaded, precision } = await loadToRun(model, { ...flags, helpers }, progress);
  const variant = flags.precision === 'int8' ? { variant: 'int8' } : {};
  const options: EvaluateOptions = {
    precision,
    helpers,
    // The library reports an unknown task.
    ...(tasks !== undefined && { tasks: tasks.split(',') as EvaluateOptions['tasks'] & {} }),
    ...(prompts !== undefined && { templates: prompts }),
    ...(classes.names !== undefined && { classes: classes.names }),
    ...(flags.protocol !== undefined && { protocols: flags.protocol.split(',') }),
    ...(flags.details !== undefined && { details: true }),
    ...(cache && { store: await FeatureStore.open(model, variant) }),
    probe: probeOptions(flags),
    onHits: (hits) => answers.push(hits),
    onProgress: showEmbedding(progress),
    onStep: (dataset, message) => {
      progress.update(dataset, message);
    },
  };
  try {
    const results = await evaluate(loaded, datasets, options);
    if (flags.answers !== undefined) writeAnswers(flags.answers, { model, answers });
    return { text: [formatTable(results), ...broken(results)].join('\n\n'), json: results };
  } finally {
    progress.done();
  }
}

/** Classes by the name of a set of ImageNet's, or from a file. */
async function readClassesOption(
  value: string | undefined,
  progress: Progress,
): Promise<{ readonly set?: ImageNetSet; readonly names?: readonly string[] }> {
  if (value === undefined) return {};
  const { imagenetSets, parseImageNetSet } = await import('../../eval/index.js');
  const isName = imagenetSets.some((set) => set === value) || !/[./\\]/.test(value);
  if (isName && !existsSync(value)) return { set: parseImageNetSet(value) };
  const { NoteBook, readClassNames } = await import('../../data/index.js');
  const notes = new NoteBook();
  const names = await readClassNames(value, notes, 'with --classes');
  for (const { message } of notes.notes) progress.note(message);
  return { names };
}

/** Prompts by the name of a list or of a file. */
async function readTemplateOption(
  value: string,
): Promise<NonNullable<EvaluateOptions['templates']>> {
  const { templateLists } = await import('../../eval/index.js');
  const isFile = existsSync(value) || /[./\\]/.test(value);
  if (Object.hasOwn(templateLists, value) || !isFile) return value;
  const { readPrompts } = await import('../../data/index.js');
  return readPrompts(value);
}

function probeOptions(flags: EvalFlags): ProbeOptions {
  const { layer, normalize, c, shots, fewShotMethod: method, neighbours } = flags;
  return {
    ...(layer !== undefined && { layer }),
    ...(normalize !== undefined && { normalize }),
    ...(c !== undefined && { c }),
    ...(shots !== undefined && { shots }),
    ...(method !== undefined && { method }),
    ...(neighbours !== undefined && { neighbours }),
  };
}

async function evaluateSuite(
  flags: EvalFlags,
  name: string,
  helpers: Helpers | undefined,
): Promise<Outcome> {
  if (flags.data !== undefined) {
    throw new UsageError('A suite names its data; leave out --data, or --suite.');
  }
  const { openSuite, runSuite, formatSuite } = await import('../../eval/index.js');
  const { renderSuiteReport } = await import('../../report/index.js');
  const { writeFileAtomic } = await import('@bantam/torch');
  const { root, tasks, protocol, precision, device, baselines } = flags;
  const opened = await openSuite(name, root === undefined ? {} : { root });
  const out = flags.out ?? join('eval', opened.suite.name);
  const progress = new Progress();
  for (const model of flags.model) await fetchModel(model, progress);
  try {
    const report = await runSuite(opened, {
      models: flags.model,
      out,
      precision,
      helpers,
      ...(device !== undefined && { device }),
      ...(tasks !== undefined && { tasks: tasks.split(',') as EvaluateOptions['tasks'] & {} }),
      ...(protocol !== undefined && { protocols: protocol.split(',') }),
      ...(baselines !== undefined && { baselines }),
      onProgress: (task, detail) => {
        progress.update(task, detail);
      },
    });
    const page = join(out, 'report.html');
    writeFileAtomic(page, [Buffer.from(renderSuiteReport(report, new Date()))]);
    if (report.results.length === 0) {
      throw new BantamError(
        `No task of the suite "${report.suite}" could be measured: ${report.refused[0]?.reason ?? 'it has no tasks.'}`,
      );
    }
    const { results, reused, seconds } = report;
    const summary = `${results.length} results, ${reused} of them from before, in ${formatDuration(seconds)}: ${join(out, 'results.json')}, results.csv, report.html`;
    return { text: `${formatSuite(report)}\n\n${summary}`, json: report };
  } finally {
    progress.done();
  }
}

function broken(results: readonly EvaluationResult[]): string[] {
  const counts = new Map(results.map(({ spec, quarantined }) => [spec, quarantined]));
  return [...counts]
    .filter(([, count]) => count > 0)
    .map(
      ([spec, count]) =>
        `${countOf(count, 'image')} of ${spec} could not be read and ${count === 1 ? 'is' : 'are'} left out.`,
    );
}
