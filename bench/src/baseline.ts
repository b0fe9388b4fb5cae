import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { at } from '@bantam/torch/at';
import { BantamError, cacheDirectory } from 'bantam/internal';
import { runProgram } from './run-program.js';

const requirements = fileURLToPath(new URL('../requirements.txt', import.meta.url));

/** The baseline's worker program. */
export const baselineWorker = fileURLToPath(new URL('../baseline/worker.py', import.meta.url));

/** Packs a table of images into shards: TABLE FOLDER COUNT. */
export const packer = fileURLToPath(new URL('../baseline/pack.py', import.meta.url));

/** Exports a model directory to ONNX: MODEL FOLDER TOKENS. */
export const onnxExporter = fileURLToPath(new URL('../baseline/export_onnx.py', import.meta.url));

/** Written last into the environment: without it, or with other requirements, it counts as absent. */
const MARK = 'bantam-requirements.txt';

function environmentFolder(env: NodeJS.ProcessEnv): string {
  return join(cacheDirectory(env), 'baseline');
}

function environmentPython(folder: string): string {
  return join(folder, 'bin', 'python');
}

async function isComplete(folder: string): Promise<boolean> {
  const mark = join(folder, MARK);
  return (
    existsSync(mark) && (await readFile(mark, 'utf8')) === (await readFile(requirements, 'utf8'))
  );
}

/**
 * The Python that has the baseline: `BANTAM_BASELINE_PYTHON`, else that of {@link setUpBaseline}.
 *
 * @throws BantamError when there is none yet.
 */
export async function findBaseline(env: NodeJS.ProcessEnv = process.env): Promise<string> {
  if (env.BANTAM_BASELINE_PYTHON) {
    if (existsSync(env.BANTAM_BASELINE_PYTHON)) return env.BANTAM_BASELINE_PYTHON;
    throw new BantamError(
      `BANTAM_BASELINE_PYTHON is "${env.BANTAM_BASELINE_PYTHON}", which does not exist; set it to a Python with bench/requirements.txt installed, or unset it.`,
    );
  }
  const folder = environmentFolder(env);
  if (await isComplete(folder)) return environmentPython(folder);
  throw new BantamError(
    `The baseline is not installed in ${folder}; run "npm run bench -- setup" first, or set BANTAM_BASELINE_PYTHON to a Python that has it.`,
  );
}

/** Options of {@link setUpBaseline}. */
export interface SetUpOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** Told what pip prints. */
  readonly onOutput: (text: string) => void;
}

/**
 * Makes a virtual environment with the pinned baseline in Bantam's cache, unless it is there already.
 *
 * @returns its Python, and whether it was there
 * @throws BantamError that says what could not be done.
 */
export async function setUpBaseline({
  env = process.env,
  onOutput,
}: SetUpOptions): Promise<{ python: string; existed: boolean }> {
  const folder = environmentFolder(env);
  const python = environmentPython(folder);
  if (await isComplete(folder)) return { python, existed: true };
  await mkdir(cacheDirectory(env), { recursive: true });
  await rm(folder, { recursive: true, force: true });
  const base = env.BANTAM_PYTHON ?? 'python3';
  const made = await runProgram(base, ['-m', 'venv', folder], { env, onOutput });
  if (made.code !== 0) {
    throw new BantamError(
      `"${base} -m venv" could not make a virtual environment in ${folder} (${lastLine(made.output)}); install Python 3.10 or newer with venv ("apt-get install python3 python3-venv"), or name one with BANTAM_PYTHON.`,
    );
  }
  const pip = ['-m', 'pip', 'install', '--disable-pip-version-check', '--no-cache-dir'];
  const installed = await runProgram(python, [...pip, '--requirement', requirements], {
    env: { ...env, PIP_NO_INPUT: '1', PIP_USER: '0' },
    onOutput,
  });
  if (installed.code !== 0) {
    throw new BantamError(
      `pip could not install bench/requirements.txt into ${folder} (${lastLine(installed.output)}); check the network, the disk and "python3 -m pip config list", then run the setup again.`,
    );
  }
  await writeFile(join(folder, MARK), await readFile(requirements));
  return { python, existed: false };
}

/** pip's own words for the fault, without a full stop. */
function lastLine(output: string): string {
  const lines = output.trim().split('\n');
  const line = lines.findLast((text) => text.startsWith('ERROR:')) ?? at(lines, -1);
  const reason = line.replace(/^ERROR:\s*/, '').replace(/\.$/, '');
  return reason === '' ? 'no output' : reason;
}
