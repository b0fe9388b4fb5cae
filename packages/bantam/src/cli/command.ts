import type { Command } from 'commander';
import { type Outcome } from './output.js';

/** Options that every command has. */
export interface GlobalOptions {
  readonly json?: true;
  readonly debug?: true;
}

/** Adds examples to the end of `--help`. */
export function examples(command: Command, lines: readonly string[]): Command {
  const title = lines.length === 1 ? 'Example:' : 'Examples:';
  return command.addHelpText('after', `\n${title}\n${lines.map((line) => `  ${line}`).join('\n')}`);
}

/**
 * Sets the action of a command and prints its outcome: the text, or with `--json` the one
 * JSON document on standard output; null: it has printed its outcome itself. `run` receives the command's own options, then its arguments; the
 * types that it declares must agree with the command's definition.
 */
export function action(
  command: Command,
  run: (options: never, ...args: never[]) => Promise<Outcome | null>,
): void {
  const count = command.registeredArguments.length;
  command.action(async (...given: unknown[]) => {
    const { json } = command.optsWithGlobals<GlobalOptions>();
    const outcome = await run(command.opts<never>(), ...(given.slice(0, count) as never[]));
    if (outcome === null) return;
    process.stdout.write(`${json ? JSON.stringify(outcome.json, null, 2) : outcome.text}\n`);
    if (outcome.failure === undefined) return;
    process.stderr.write(`error: ${outcome.failure}\n`);
    process.exitCode = 1;
  });
}
