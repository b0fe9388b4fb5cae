/** How fast this machine trains each kind of candidate, and loads its images. */
import { availableParallelism } from 'node:os';
import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { atLeast, count, group, positive } from '../../base/schema.js';
import { mean } from '../../base/statistics.js';
import { Loader, parseAugment, subsetOf, type Source } from '../../data/index.js';
import type { RunOptions } from '../../train/index.js';
import { forEachJob, threadsOf } from '../runs/process-pool.js';
import type { Candidate } from './candidates.js';
import { TimingCache } from './timing-cache.js';

export const kindRateSchema = group({
  /** In training, with data ready in memory; null: it does not fit the memory. */
  samplesPerSecond: v.nullable(positive()),
  /** Planned peak memory at `batch`, and the part of it that grows with the batch. */
  bytes: positive(),
  stepBytes: atLeast(0),
  batch: count(),
  /** Cores that other processes used before timing began. */
  others: atLeast(0),
});

/** Speed and memory of candidates of one kind. */
export type KindRate = Readonly<v.InferOutput<typeof kindRateSchema>>;

export const loadTimeSchema = group({
  /** With decoding. */
  first: atLeast(0),
  /** From the decoded images that are kept for later epochs. */
  again: atLeast(0),
});

/** Seconds of loading an image. */
export type LoadTime = Readonly<v.InferOutput<typeof loadTimeSchema>>;

/** @throws BantamError once a signal has ended the planning. */
export function throwIfInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new BantamError(
    'Planning was interrupted; what was timed is kept, and the same command resumes it.',
  );
}

/** Time that timing a kind takes in seconds, at best: a process, the model, its steps. */
export const secondsOfKind = 3;

/** Seconds for which steps of one size are timed, if so many may pass for all kinds. */
export function timingWithin(allowance: number): number {
  return Math.min(2, Math.max(0.25, allowance / 10));
}

/** Images whose loading is measured for each second of timed steps. */
const imagesPerSecond = 96;

/** Options of {@link measureKinds}. */
export interface MeasureKindsOptions {
  /** Specification of the training data, and their digest. */
  readonly data: string;
  readonly digest: string;
  /** `train.memoryLimit` in GB; 0: all memory. */
  readonly memory: number;
  /** No measurement begins after so many seconds. */
  readonly allowance: number;
  /** Seconds for which steps of one size are timed. */
  readonly timing: number;
  /** Cores that other processes use. */
  readonly others: number;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (message: string) => void;
}

/**
 * Measures kinds by the plan of a run (`planRun`: steps on noise), each in turn in a process of its own,
 * until the allowance is used up or the signal comes; those that this machine measured before are read
 * from the cache. Failures are of the kind: it has no rate.
 */
export async function measureKinds(
  representatives: readonly Candidate[],
  options: MeasureKindsOptions,
): Promise<Map<string, KindRate | { readonly failure: string }>> {
  const { data, memory, allowance, timing, others, signal, onProgress } = options;
  const rates = new Map<string, KindRate | { failure: string }>();
  const missing: { candidate: Candidate; cache: TimingCache<KindRate>; run: RunOptions }[] = [];
  for (const candidate of representatives) {
    const { train = {}, ...rest } = candidate.options;
    const run: RunOptions = {
      ...rest,
      train: { ...train, memoryLimit: memory },
      data,
      budget: '1h',
      validation: { data: 'none' },
    };
    // The same data may be named otherwise; their digest tells.
    const cache = new TimingCache(kindRateSchema, {
      options: { ...run, data: '' },
      digest: options.digest,
      others,
    });
    const known = cache.read(timing);
    if (known === undefined) missing.push({ candidate, cache, run });
    else rates.set(candidate.kind, known);
  }
  const end = performance.now() + 1000 * allowance;
  const enough = new AbortController();
  const stop = signal === undefined ? enough.signal : AbortSignal.any([signal, enough.signal]);
  await forEachJob(missing, {
    processes: 1,
    signal: stop,
    jobOf: ({ run }) => ({ kind: 'plan', options: run, timing }),
    onStart: ({ candidate }) => {
      onProgress(`timing ${candidate.kind}`);
    },
    onEnd: ({ candidate, cache }, outcome) => {
      if (performance.now() > end) enough.abort();
      if (outcome.kind === 'failed') rates.set(candidate.kind, { failure: outcome.message });
      if (outcome.kind !== 'done' || outcome.plan === undefined) return;
      const { memory: planned, time } = outcome.plan;
      const rate: KindRate = {
        samplesPerSecond: time === null ? null : time.rate,
        bytes: planned.total,
        stepBytes: planned.step + planned.batches,
        batch: candidate.batch,
        others,
      };
      rates.set(candidate.kind, rate);
      // Memory that is taken today may be free tomorrow.
      if (rate.samplesPerSecond !== null) cache.write(rate, timing);
    },
  });
  return rates;
}

/**
 * Samples per second of a candidate: measured, or estimated from the measured kinds by the cost of a sample,
 * those of its own model if there are any.
 */
export function rateOf(
  candidate: Pick<Candidate, 'kind' | 'model' | 'cost'>,
  measured: readonly {
    readonly candidate: Pick<Candidate, 'kind' | 'model' | 'cost'>;
    readonly rate: number;
  }[],
): { readonly samplesPerSecond: number; readonly isMeasured: boolean } | null {
  const own = measured.find((one) => one.candidate.kind === candidate.kind);
  if (own !== undefined) return { samplesPerSecond: own.rate, isMeasured: true };
  const ofModel = measured.filter((one) => one.candidate.model === candidate.model);
  const from = ofModel.length > 0 ? ofModel : measured;
  if (from.length === 0) return null;
  const logs = from.map((one) => Math.log((one.rate * one.candidate.cost) / candidate.cost));
  return { samplesPerSecond: Math.exp(mean(logs)), isMeasured: false };
}

/** Options of {@link measureLoading}. */
export interface MeasureLoadingOptions {
  /** Digest of the data. */
  readonly digest: string;
  /** As for the steps; it decides how many images are loaded. */
  readonly timing: number;
  /** Cores that other processes use. */
  readonly others: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * Measures the loading of some images with an augmentation by one thread: with decoding, and again from
 * kept pixels. An earlier measurement of this machine is read from the cache.
 *
 * @throws BantamError if the signal comes.
 */
export async function measureLoading(
  source: Source,
  { options, config }: Pick<Candidate, 'options' | 'config'>,
  { digest, timing, others, signal }: MeasureLoadingOptions,
): Promise<LoadTime> {
  const { augment = source.augment } = options;
  const { imageSize } = config.vision;
  const cache = new TimingCache(loadTimeSchema, { loading: augment, imageSize, digest, others });
  const known = cache.read(timing);
  if (known !== undefined) return known;
  const count = Math.min(Math.round(imagesPerSecond * timing), source.size);
  const step = source.size / count;
  const keys = Array.from({ length: count }, (_, i) => source.record(Math.floor(i * step)).key);
  const part = subsetOf(source, new Set(keys));
  const batchSize = Math.max(1, Math.floor(part.size / 4));
  const image = typeof augment === 'string' ? parseAugment(augment) : augment;
  const loader = new Loader(part, {
    batchSize,
    views: { image },
    size: imageSize,
    seed: 0,
    workers: 1,
  });
  try {
    const batches = loader.batches();
    const perEpoch = loader.batchesPerEpoch;
    const times: number[] = [];
    for (let i = 0; i < 2 * perEpoch; i++) {
      throwIfInterrupted(signal);
      const start = performance.now();
      await batches.next();
      times.push((performance.now() - start) / 1000 / batchSize);
    }
    // The first batch starts the thread.
    const decoded = times.slice(Math.min(1, perEpoch - 1), perEpoch);
    const load: LoadTime = { first: mean(decoded), again: mean(times.slice(perEpoch)) };
    cache.write(load, timing);
    return load;
  } finally {
    await loader.close();
  }
}

/** Options of {@link secondsPerSample}. */
export interface SampleTimeOptions {
  readonly samplesPerSecond: number;
  readonly load: LoadTime;
  /** Passes over the data. */
  readonly epochs: number;
}

/**
 * Time of a sample in training: loading runs beside it where there are cores for both, else they take
 * turns.
 */
export function secondsPerSample({ samplesPerSecond, load, epochs }: SampleTimeOptions): {
  readonly seconds: number;
  /** True if loading takes longer than computing. */
  readonly isLoaderBound: boolean;
} {
  const compute = 1 / samplesPerSecond;
  const later = Math.max(0, epochs - 1);
  const loading = (load.first * Math.min(1, epochs) + load.again * later) / Math.max(epochs, 1e-9);
  const isParallel = availableParallelism() > threadsOf(1);
  return {
    seconds: isParallel ? Math.max(compute, loading) : compute + loading,
    isLoaderBound: loading > compute,
  };
}
