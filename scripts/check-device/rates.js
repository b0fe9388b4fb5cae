import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runProgram, withoutStdout } from './run-step.js';

/**
 * Cases of the benchmark on the device, Bantam and OpenCLIP in the same run; Bantam alone where OpenCLIP
 * is not installed or does not know the device.
 *
 * @param {import('./steps.js').Options & { onGpu: boolean }} options
 * @returns {Promise<import('./steps.js').Result>}
 */
export async function measureRates({ device, short, baseline, folder, onGpu }) {
  const bench = [process.execPath, join('bench', 'dist', 'main.js')];
  const notes = [];
  if (baseline) {
    const { status, output } = await runProgram([...bench, 'setup'], { limit: 1800 });
    if (status !== 'passed') notes.push(`OpenCLIP was not installed: ${output?.trim()}`);
  }
  const known = device === 'auto' || device === 'cpu' || device.startsWith('cuda');
  const absence = !known || short ? 'OpenCLIP is left out' : await absenceOfBaseline();
  if (absence !== null) notes.push(`Bantam alone: ${absence}`);
  const file = join(folder, 'rates.json');
  // A CPU trains few pairs of ViT-B-32 in the time.
  const cases = onGpu ? ['train/ViT-B-32/bf16', 'image/ViT-B-32/bf16'] : ['image/ViT-B-32/bf16'];
  const work = short
    ? ['zoo', '--models', 'ViT-Nano-16-64', '--precision', 'fp32', '--trials', 'none']
    : ['run', '--cases', ...cases, '--trials', 'none'];
  const size = onGpu
    ? ['--batch', '256', '--repetitions', '2', '--slice', '3']
    : ['--batch', '4', '--repetitions', '1', '--slice', '1'];
  const command = [
    ...bench,
    ...work,
    ...size,
    ...['--device', device, '--json', file],
    ...(absence === null ? [] : ['--no-baseline']),
  ];
  const ended = withoutStdout(await runProgram(command, { limit: 120 }));
  const text = readIfWritten(file);
  if (text === '') {
    const reason = ended.output?.trim().split('\n').at(-1) ?? 'nothing was measured';
    return {
      ...ended,
      status: ended.status === 'passed' ? 'failed' : ended.status,
      reason,
      notes,
      summary: notes,
    };
  }
  const { figuresOf } = await import('../../bench/dist/figures.js');
  const results = JSON.parse(text);
  const figures = results.cases.map((/** @type {any} */ one) => ({
    name: one.name,
    ...figuresOf(one, results.machine.cores),
    peakBytes: one.peakBytes,
    agreement: one.agreement,
  }));
  const failed = results.skipped.length > 0;
  return {
    ...ended,
    ...(failed && { status: 'failed', reason: results.skipped[0].reason }),
    notes,
    figures,
    results,
    summary: [...notes, ...figures.map(describe)],
  };
}

/** Why there is no baseline; null if there is one. */
async function absenceOfBaseline() {
  const { findBaseline } = await import('../../bench/dist/baseline.js');
  return findBaseline().then(
    () => null,
    (error) => error.message,
  );
}

/** @param {string} file */
function readIfWritten(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/** @param {any} figures */
function describe({ name, bantam, baseline, ratio, peakBytes }) {
  const memory = peakBytes.bantam === null ? '' : `, ${(peakBytes.bantam / 1e9).toFixed(2)} GB`;
  const beside =
    baseline === null
      ? ''
      : `; OpenCLIP ${baseline.toPrecision(3)}${peakBytes.baseline === null ? '' : `, ${(peakBytes.baseline / 1e9).toFixed(2)} GB`}: ${ratio.median.toFixed(2)} times`;
  return `${name}: ${bantam.toPrecision(3)} samples/s${memory}${beside}`;
}
