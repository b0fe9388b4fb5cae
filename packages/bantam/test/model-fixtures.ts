import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadSafetensors, type Tensor } from '@bantam/torch';

const folder = new URL('../fixtures/models/', import.meta.url);

/** Results of OpenCLIP's trainer, see fixtures/generate_models.py. */
export interface TrainingRecord {
  readonly noDecay: readonly string[];
  /** Before each step. */
  readonly losses: readonly number[];
  /** After each step. */
  readonly logitScales: readonly number[];
  /** Of the trained weights, key biases left out. */
  readonly weights: Readonly<Record<string, Summary>>;
}

export interface Summary {
  readonly norm: number;
  readonly sum: number;
}

/** Reference values of one model. */
export interface ModelCase {
  readonly directory: string;
  readonly loss: number;
  readonly logitScale: number;
  readonly gradients: Readonly<Record<string, Summary>>;
  readonly adamw: {
    readonly lr: number;
    readonly betas: readonly [number, number];
    readonly eps: number;
    readonly weight_decay: number;
    readonly steps: number;
  };
  readonly training: Readonly<Record<'openclip' | 'no_pos_decay', TrainingRecord>>;
  tensor(name: string): Tensor;
  /** The elements of `<prefix>.<name>`, or of its sample, and their indices. */
  elements(prefix: string, name: string, size: number): { values: number[]; indices: number[] };
}

export const modelCases = ['gelu', 'quick-gelu', 'avg-pool'] as const;

export function openModelCase(name: string): ModelCase {
  const { tensors } = loadSafetensors(fileURLToPath(new URL(`${name}.safetensors`, folder)));
  const find = (key: string): Tensor => {
    const tensor = tensors.get(key);
    if (tensor === undefined) throw new RangeError(`The fixture ${name} has no "${key}".`);
    return tensor;
  };
  return {
    ...(readModelFixture(`${name}.json`) as ModelCase),
    directory: fileURLToPath(new URL(name, folder)),
    tensor: find,
    elements(prefix, parameter, size) {
      const whole = tensors.get(`${prefix}.${parameter}`);
      const values = (whole ?? find(`${prefix}_sample.${parameter}`)).toArray();
      const indices = values.map((_, k) => (whole === undefined ? (7919 * k) % size : k));
      return { values, indices };
    },
  };
}

/** A JSON document of the models' fixtures. */
export function readModelFixture(file: string): unknown {
  return JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
}
