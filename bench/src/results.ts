/** The file of results, from which all tables and charts are made. */
import { readFile } from 'node:fs/promises';
import { BantamError } from 'bantam/internal';
import type { Agreement } from './agreement.js';
import type {
  BaselineSettings,
  Precision,
  Prepared,
  Recalls,
  WorkloadKind,
  WorkloadPrecision,
} from './protocol.js';

/** One attempt at making the baseline faster. */
export interface Trial {
  readonly settings: BaselineSettings;
  /** Seconds of its fastest step; null where it failed. */
  readonly seconds: number | null;
  readonly error?: string;
}

/** A slice of one implementation's work while the other idles. */
export interface Slice {
  readonly steps: number;
  readonly seconds: number;
  /** CPU seconds of all its threads; null if unknown. */
  readonly cpuSeconds: number | null;
  /** CPU seconds that the other implementation's process used meanwhile; null if unknown. */
  readonly othersCpuSeconds: number | null;
  /** CPU seconds of everything else on the machine: they slow the measured process. */
  readonly foreignCpuSeconds: number | null;
}

/** One repetition of both implementations. */
export interface Repetition {
  readonly bantam: Slice;
  readonly baseline: Slice | null;
  /** The machine's matrix-product rate in this repetition, GFLOP/s. */
  readonly gflops: number | null;
}

/** Result of a measured case. */
export interface CaseResult {
  readonly name: string;
  readonly kind: WorkloadKind;
  readonly precision: WorkloadPrecision;
  readonly samplesPerStep: number;
  /** Null for cases without a model. */
  readonly model: string | null;
  readonly prepared: Prepared | null;
  /** Comparison of the results on the first batches; null where there is no baseline. */
  readonly agreement: Agreement | null;
  readonly trials: readonly Trial[];
  /** The baseline's fastest settings, those of the repetitions. */
  readonly settings: BaselineSettings | null;
  readonly repetitions: readonly Repetition[];
  readonly peakBytes: { readonly bantam: number | null; readonly baseline: number | null };
}

/** A case that gave no figure, and why. */
export interface SkippedCase {
  readonly name: string;
  readonly reason: string;
}

/** The machine of the measurements. */
export interface MachineFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly node: string;
  readonly libtorch: string;
  readonly baseline: string | null;
  readonly threads: number;
  /** The highest instructions that both implementations were limited to; absent: no limit. */
  readonly isa?: string;
  /** The GPU of the models and their batches; absent: they are on the CPU. */
  readonly device?: string;
}

/** A point of a scaling curve. */
export interface ScalingPoint {
  readonly axis: 'batch' | 'image size' | 'caption tokens' | 'threads';
  readonly value: number;
  readonly precision: Precision;
  readonly model: string;
  readonly samplesPerSecond: number;
  readonly peakBytes: number | null;
}

/** Seconds from the start of a process to the end of its first training step. */
export interface StartupResult {
  readonly model: string;
  /** To the end of the first step, for each start. */
  readonly seconds: readonly number[];
  /** Of the step itself. */
  readonly stepSeconds: readonly number[];
}

/** Result of training for a time, in one implementation. */
export interface Learned {
  /** Samples that were trained on. */
  readonly samples: number;
  /** On the held-out pairs. */
  readonly recalls: Recalls;
}

/** Accuracy after training both implementations for the same time. */
export interface AccuracyResult {
  readonly model: string;
  readonly seconds: number;
  readonly batch: number;
  /** Pairs to train on, and held-out pairs. */
  readonly pairs: { readonly train: number; readonly heldOut: number };
  readonly repetitions: readonly { readonly bantam: Learned; readonly baseline: Learned | null }[];
}

/** Results of one call. */
export interface Results {
  readonly format: 2;
  /** The command that measured. */
  readonly command: 'run' | 'zoo' | 'scaling' | 'startup' | 'onnx' | 'accuracy';
  /** The whole command line, to measure it again. */
  readonly commandLine: string;
  /** ISO 8601. */
  readonly date: string;
  readonly machine: MachineFacts;
  readonly cases?: readonly CaseResult[];
  readonly skipped?: readonly SkippedCase[];
  readonly scaling?: readonly ScalingPoint[];
  readonly startup?: readonly StartupResult[];
  readonly accuracy?: AccuracyResult;
}

/** @throws BantamError when the file is none of the benchmark's. */
export async function readResults(path: string): Promise<Results> {
  let read: unknown;
  try {
    read = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new BantamError(
      `${path} cannot be read as results (${reason}); write it with "npm run bench -- run --json ${path}".`,
    );
  }
  if (typeof read === 'object' && read !== null && 'format' in read && read.format === 2) {
    return read as Results;
  }
  throw new BantamError(
    `${path} holds no results of this benchmark; write it with "npm run bench -- run --json ${path}".`,
  );
}
