import { CommanderError } from 'commander';
import { BantamError } from '../base/errors.js';
import { systemMeaning } from '../base/system-error.js';

/** Message of a failed command on standard error, and its exit status. */
export interface Failure {
  readonly message: string;
  readonly exitCode: number;
}

/** Explains an error in one sentence: the messages of BantamError and TorchError are such sentences. */
export function explain(error: unknown): Failure {
  if (error instanceof CommanderError) return explainUsage(error);
  if (error instanceof BantamError) return { message: error.message, exitCode: error.exitCode };
  if (!(error instanceof Error)) return unexpected(String(error));
  // By name, as to import TorchError would load libtorch.
  if (error.name === 'TorchError') return { message: error.message, exitCode: 1 };
  const { code = '', path, syscall } = error as NodeJS.ErrnoException;
  const meaning = systemMeaning(error);
  if (meaning !== undefined && path !== undefined) {
    return { message: `${path}: ${meaning} (${code} in ${String(syscall)}).`, exitCode: 1 };
  }
  return unexpected(error.message);
}

function unexpected(message: string): Failure {
  const line = message.replace(/\n[^]*/, '').replace(/[.!]$/, '');
  return { message: `Unexpected: ${line}; run again with --debug for details.`, exitCode: 1 };
}

function explainUsage({ code, exitCode, message }: CommanderError): Failure {
  // Help and version end through an error as well.
  if (exitCode === 0) return { message: '', exitCode: 0 };
  if (code === 'commander.help') return { message: 'A command is missing.', exitCode: 2 };
  const sentence = message
    .replace(/^error: /, '')
    .replace(/\n\(Did you mean (.*)\?\)$/, ' (did you mean $1?)')
    .replace(/\.$/, '')
    .replace(/\. (?=[A-Z])/g, ': ');
  return { message: `${sentence}; --help shows the usage.`, exitCode: 2 };
}
