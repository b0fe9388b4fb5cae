import { Command, CommanderError } from 'commander';
import { version } from '../base/version.js';
import type { GlobalOptions } from './command.js';
import { addCompare } from './commands/compare.js';
import { addData } from './commands/data.js';
import { addDoctor } from './commands/doctor.js';
import { addDuplicates } from './commands/duplicates.js';
import { addEmbed } from './commands/embed.js';
import { addEval } from './commands/eval.js';
import { addExport } from './commands/export.js';
import { addIndex } from './commands/index-images.js';
import { addModels } from './commands/models.js';
import { addPlan } from './commands/plan.js';
import { addQuickstart } from './commands/quickstart.js';
import { addSearch } from './commands/search.js';
import { addServe } from './commands/serve.js';
import { addSetup } from './commands/setup.js';
import { addStudy } from './commands/study.js';
import { addTokenizer } from './commands/tokenizer.js';
import { addTrain } from './commands/train.js';
import { explain } from './failure.js';
import { ignoreClosedPipes } from './output.js';

/** The command line with all of its commands. */
export function createProgram(): Command {
  const program = new Command('bantam')
    .description('Trains CLIP in your weight class: image-text models on the computer you have.')
    .version(version)
    .option('--json', 'print the answer as one JSON document on standard output')
    .option('--debug', 'print stack traces of errors')
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .configureOutput({ outputError: () => undefined })
    .exitOverride();
  for (const add of [
    addQuickstart,
    addSetup,
    addDoctor,
    addData,
    addTokenizer,
    addModels,
    addPlan,
    addTrain,
    addStudy,
    addEval,
    addCompare,
    addEmbed,
    addIndex,
    addSearch,
    addServe,
    addDuplicates,
    addExport,
  ])
    add(program);
  return program;
}

/**
 * Runs the command line.
 *
 * @param argv arguments without those of Node itself.
 * @returns the exit status: 0 if the work was done, 1 for a failure, 2 for wrong usage.
 */
export async function main(argv: readonly string[]): Promise<number> {
  ignoreClosedPipes();
  const program = createProgram();
  try {
    await program.parseAsync(argv, { from: 'user' });
    // A command that did a part of its work has set it.
    return Number(process.exitCode ?? 0);
  } catch (error) {
    const { json, debug } = program.opts<GlobalOptions>();
    const { message, exitCode } = explain(error);
    if (message !== '') process.stderr.write(`error: ${message}\n`);
    if (debug && !(error instanceof CommanderError)) {
      process.stderr.write(`${error instanceof Error ? String(error.stack) : ''}\n`);
    }
    if (json && exitCode !== 0) process.stdout.write(`${JSON.stringify({ error: message })}\n`);
    return exitCode;
  }
}
