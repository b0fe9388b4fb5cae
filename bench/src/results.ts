/** The file that a benchmark writes, and that every table and picture is made from. */
import { readFile } from 'node:fs/promises';
import { BantamError } from '../../packages/bantam/dist/base/errors.js';
import type { Agreement } from './agreement.js';
import type {
  PeerSettings,
  Precision,
  Prepared,
  WorkloadKind,
  WorkloadPrecision,
} from './protocol.js';

/** One attempt at making the peer faster. */
export interface Trial {
  readonly settings: PeerSettings;
  /** Seconds of its fastest step; null where it failed. */
  readonly seconds: number | null;
  readonly error?: string;
}

/** A slice of one side's work while the other idles. */
export interface Slice {
  readonly steps: number;
  readonly seconds: number;
  /** Processor seconds of all its threads; null where it cannot be told. */
  readonly cpuSeconds: number | null;
  /** Processor seconds that the other side's process used meanwhile; null where it cannot be told. */
  readonly othersCpuSeconds: number | null;
  /** Processor seconds of everything else on the machine: what made it slower than it is. */
  readonly foreignCpuSeconds: number | null;
}

/** One turn of both sides. */
export interface Round {
  readonly bantam: Slice;
  readonly peer: Slice | null;
  /** The machine's matrix-product rate in this round, 10⁹ operations a second. */
  readonly gflops: number | null;
}

/** What a measured case gave. */
export interface CaseResult {
  readonly name: string;
  readonly kind: WorkloadKind;
  readonly precision: WorkloadPrecision;
  readonly samplesPerStep: number;
  /** Null where no model takes part. */
  readonly model: string | null;
  readonly prepared: Prepared | null;
  /** What both computed on the first batches; null where there is no peer. */
  readonly agreement: Agreement | null;
  readonly trials: readonly Trial[];
  /** The peer's fastest settings, those of the rounds. */
  readonly settings: PeerSettings | null;
  readonly rounds: readonly Round[];
  readonly peakBytes: { readonly bantam: number | null; readonly peer: number | null };
}

/** A case that gave no figure, and why. */
export interface SkippedCase {
  readonly name: string;
  readonly reason: string;
}

/** What was measured on. */
export interface MachineFacts {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly platform: string;
  readonly node: string;
  readonly libtorch: string;
  readonly peer: string | null;
  readonly threads: number;
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

/** Results of one call. */
export interface Results {
  readonly format: 1;
  /** What was measured. */
  readonly command: 'run' | 'zoo' | 'scaling' | 'startup';
  /** The whole command line, to measure it again. */
  readonly commandLine: string;
  /** ISO 8601. */
  readonly date: string;
  readonly machine: MachineFacts;
  readonly cases?: readonly CaseResult[];
  readonly skipped?: readonly SkippedCase[];
  readonly scaling?: readonly ScalingPoint[];
  readonly startup?: readonly StartupResult[];
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
  if (typeof read === 'object' && read !== null && 'format' in read && read.format === 1) {
    return read as Results;
  }
  throw new BantamError(
    `${path} holds no results of this benchmark; write it with "npm run bench -- run --json ${path}".`,
  );
}
