import { didYouMean, UsageError } from 'bantam/internal';
import type { LoadFormat, OptimizerNumbers, Precision, WorkloadPrecision } from './protocol.js';
import type { InstructionLimit } from './workers.js';

/** A row of the benchmark's tables. */
export interface ModelCase {
  /** `train/ViT-B-32/bf16` */
  readonly name: string;
  readonly kind: 'train' | 'image' | 'text';
  readonly model: string;
  readonly precision: WorkloadPrecision;
}

export interface LoadCase {
  /** `load/csv` */
  readonly name: string;
  readonly kind: 'load';
  readonly format: LoadFormat;
}

export type Case = ModelCase | LoadCase;

/** Models by Bantam's names: those that a user with two cores would train. */
const models = ['ViT-B-32', 'ViT-S-16', 'RN50', 'convnext_tiny', 'ViT-Nano-16-64'];

/** All cases of `run`. */
export const cases: readonly Case[] = [
  ...models.flatMap((model) =>
    (['train', 'image', 'text'] as const).flatMap((kind) =>
      precisionsOf(kind).map((precision) => modelCase(kind, model, precision)),
    ),
  ),
  { name: 'load/csv', kind: 'load', format: 'csv' },
  { name: 'load/wds', kind: 'load', format: 'wds' },
];

function precisionsOf(kind: ModelCase['kind']): WorkloadPrecision[] {
  return kind === 'train' ? ['bf16', 'fp32'] : ['bf16', 'fp32', 'int8'];
}

/** The case of a kind, model and precision. */
export function modelCase(
  kind: ModelCase['kind'],
  model: string,
  precision: WorkloadPrecision,
): ModelCase {
  return { name: `${kind}/${model}/${precision}`, kind, model, precision };
}

/**
 * Precision of the baseline, whose fastest one is compared with int8: bf16, or fp32 where the
 * instructions are limited to some without bf16.
 */
export function baselinePrecision(
  precision: WorkloadPrecision,
  isa: InstructionLimit | undefined,
): Precision {
  if (precision !== 'int8') return precision;
  return isa === 'avx2' || isa === 'avx512' ? 'fp32' : 'bf16';
}

/** Of all training cases: those of OpenCLIP's trainer for ViTs, at a rate that keeps losses even. */
export const optimizer: OptimizerNumbers = {
  lr: 1e-5,
  beta1: 0.9,
  beta2: 0.98,
  eps: 1e-6,
  weightDecay: 0.2,
};

/**
 * The cases whose names match one of the globs, in which `*` stands for any characters.
 *
 * @throws UsageError when a glob matches none.
 */
export function selectCases(globs: readonly string[], all: readonly Case[] = cases): Case[] {
  const names = all.map(({ name }) => name);
  const patterns = globs.map((glob) => {
    const parts = glob.split('*').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    return { glob, pattern: new RegExp(`^${parts.join('.*')}$`) };
  });
  for (const { glob, pattern } of patterns) {
    if (names.some((name) => pattern.test(name))) continue;
    throw new UsageError(
      `No case matches "${glob}"${didYouMean(glob, names)}; npm run bench -- run --help lists them.`,
    );
  }
  return all.filter(({ name }) => patterns.some(({ pattern }) => pattern.test(name)));
}
