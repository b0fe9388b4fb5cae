import { availableParallelism } from 'node:os';
import { optimizer } from './cases.js';
import { measureAlternately } from './measure.js';
import type { Precision } from './protocol.js';
import type { ScalingPoint, SkippedCase } from './results.js';
import { startBantam } from './workers.js';
import { median } from './statistics.js';
import { TemporaryFolder } from './temporary-folder.js';

export type ScalingAxis = ScalingPoint['axis'];

/** A grid's values along each axis; along one axis the others keep their usual value. */
export type ScalingGrid = Readonly<Record<ScalingAxis, readonly number[]>>;

/** A grid that takes minutes. */
export const smallGrid: ScalingGrid = {
  batch: [16, 64],
  'image size': [160, 224],
  'caption tokens': [16, 77],
  threads: [1, availableParallelism()],
};

/** A grid for curves. */
export const fullGrid: ScalingGrid = {
  batch: [8, 16, 32, 64, 128, 256],
  'image size': [96, 128, 160, 192, 224, 288, 384],
  'caption tokens': [8, 16, 32, 48, 64, 77],
  threads: Array.from({ length: availableParallelism() }, (_, i) => i + 1),
};

/** Options of {@link measureScaling}. */
export interface ScalingOptions {
  readonly model: string;
  readonly precision: Precision;
  readonly grid: ScalingGrid;
  readonly repetitions: number;
  readonly sliceSeconds: number;
  readonly batch: number;
  readonly onProgress: (what: string) => void;
}

/** Training samples/s and peak memory of Bantam along each axis, each point in a fresh process. */
export async function measureScaling(
  options: ScalingOptions,
): Promise<{ scaling: ScalingPoint[]; skipped: SkippedCase[] }> {
  const scaling: ScalingPoint[] = [];
  const skipped: SkippedCase[] = [];
  for (const [axis, values] of Object.entries(options.grid) as [ScalingAxis, number[]][]) {
    for (const value of new Set(values)) {
      options.onProgress(`${axis} ${value}`);
      try {
        scaling.push(await measurePoint(axis, value, options));
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        skipped.push({ name: `${axis} ${value}`, reason });
      }
    }
  }
  return { scaling, skipped };
}

async function measurePoint(
  axis: ScalingAxis,
  value: number,
  options: ScalingOptions,
): Promise<ScalingPoint> {
  const { model, precision, repetitions, sliceSeconds } = options;
  const batch = axis === 'batch' ? value : options.batch;
  const threads = axis === 'threads' ? value : undefined;
  using temporary = new TemporaryFolder();
  const folder = temporary.path;
  await prepareIn(folder, {
    model,
    batch,
    ...(axis === 'image size' && { imageSize: value }),
    ...(axis === 'caption tokens' && { captionTokens: value }),
  });
  const measured = await measureAlternately({
    workload: { kind: 'train', precision, device: 'cpu', folder, optimizer },
    device: 'cpu',
    precision,
    threads,
    baseline: null,
    repetitions,
    sliceSeconds,
    rate: false,
    onRepetition: () => undefined,
  });
  const rates = measured.repetitions.map(({ bantam }) => (batch * bantam.steps) / bantam.seconds);
  return {
    axis,
    value,
    model,
    precision,
    samplesPerSecond: median(rates),
    peakBytes: measured.peakBytes.bantam,
  };
}

async function prepareIn(
  folder: string,
  request: { model: string; batch: number; imageSize?: number; captionTokens?: number },
): Promise<void> {
  await using bantam = startBantam({});
  await bantam.ask({ op: 'prepare', folder, ...request, batches: 1, vocabulary: null });
}
