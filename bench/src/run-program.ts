import { spawn } from 'node:child_process';

/** Options of {@link runProgram}. */
export interface RunProgramOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly onOutput?: (text: string) => void;
}

/**
 * Runs a program to its end and collects what it prints. `code` is null where it could not be
 * started or was ended by a signal.
 */
export function runProgram(
  program: string,
  args: readonly string[],
  { env = process.env, onOutput }: RunProgramOptions = {},
): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
        onOutput?.(text);
      });
    }
    child.on('error', (error) => {
      resolve({ code: null, output: output + error.message });
    });
    child.on('close', (code) => {
      resolve({ code, output });
    });
  });
}
