import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { MetricsRow } from 'bantam';
import { BantamError } from 'bantam/internal';
import { makeClassFolders } from './photos.js';
import type { StartupResult } from './results.js';
import { TemporaryFolder } from './temporary-folder.js';

const executable = fileURLToPath(new URL('../../packages/bantam/bin/bantam.js', import.meta.url));

/** Milliseconds between two looks at whether the first step was written down. */
const interval = 5;

/** Options of {@link measureStartup}. */
export interface StartupOptions {
  readonly models: readonly string[];
  readonly repetitions: number;
  readonly batch: number;
  readonly onProgress: (what: string) => void;
}

/**
 * Seconds from the start of `bantam train` on a folder of small JPEG files until its first training
 * step is in `metrics.jsonl`, and those of the step.
 */
export async function measureStartup(options: StartupOptions): Promise<StartupResult[]> {
  using folder = new TemporaryFolder();
  const data = join(folder.path, 'images');
  await makeClassFolders(data, 4 * options.batch);
  const results: StartupResult[] = [];
  for (const model of options.models) {
    const seconds: number[] = [];
    const stepSeconds: number[] = [];
    for (let repetition = 0; repetition < options.repetitions; repetition++) {
      options.onProgress(`${model}, start ${repetition + 1} of ${options.repetitions}`);
      const out = join(folder.path, `${model}-${repetition}`);
      const timed = await timeFirstStep({ model, data, out, batch: options.batch });
      seconds.push(timed.seconds);
      stepSeconds.push(timed.stepSeconds);
    }
    results.push({ model, seconds, stepSeconds });
  }
  return results;
}

async function timeFirstStep({
  model,
  data,
  out,
  batch,
}: {
  model: string;
  data: string;
  out: string;
  batch: number;
}): Promise<{ seconds: number; stepSeconds: number }> {
  const metrics = join(out, 'metrics.jsonl');
  const args = ['train', '--model', model, '--data', `folder:${data}`, '--out', out];
  const settings = ['--budget', '1h', '--set', `train.batchSize=${batch}`];
  const start = performance.now();
  const child = spawn(process.execPath, [executable, ...args, ...settings], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let errors = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const ended = once(child, 'close');
  try {
    for (;;) {
      const [row, ...whole] = existsSync(metrics) ? readFileSync(metrics, 'utf8').split('\n') : [];
      if (row !== undefined && whole.length > 0) {
        const { samplesPerSecond } = JSON.parse(row) as MetricsRow;
        const seconds = (performance.now() - start) / 1000;
        return { seconds, stepSeconds: batch / samplesPerSecond };
      }
      if (child.exitCode !== null) {
        throw new BantamError(`bantam train ended before its first step: ${errors.trim()}`);
      }
      await sleep(interval);
    }
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}
