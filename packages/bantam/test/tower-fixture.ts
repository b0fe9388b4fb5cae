import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { it } from 'node:test';
import {
  autocast,
  Generator,
  loadSafetensors,
  mul,
  noGrad,
  randn,
  scope,
  sub,
  sum,
  to,
  type Tensor,
} from '@bantam/torch';
import {
  createModel,
  parseModelConfig,
  type Encoded,
  type ImageTower,
} from '../dist/models/index.js';

/** Values that fixtures/towers.py wrote, by name. */
export type Reference = ReadonlyMap<string, Tensor>;

export function openReference(fixture: string): Reference {
  const path = new URL(`../fixtures/models/${fixture}.safetensors`, import.meta.url);
  return loadSafetensors(fileURLToPath(path)).tensors;
}

export function find(reference: Reference, name: string): Tensor {
  return reference.get(name) ?? assert.fail(`The fixture has no "${name}".`);
}

/** The part of the reference under a prefix, by what follows it. */
export function part(reference: Reference, prefix: string): Map<string, Tensor> {
  const entries = [...reference].filter(([name]) => name.startsWith(prefix));
  return new Map(entries.map(([name, tensor]) => [name.slice(prefix.length), tensor]));
}

/** The elements that the reference keeps of a tensor: all, or those at (7919·k) mod size. */
function sampled(values: readonly number[], { size }: Tensor): number[] {
  if (values.length === size) return [...values];
  return Array.from({ length: size }, (_, k) => values[(7919 * k) % values.length] ?? NaN);
}

export function assertValues(
  actual: Tensor,
  expected: Tensor,
  tolerance: number,
  what: string,
): void {
  const values = expected.toArray();
  sampled(actual.toArray(), expected).forEach((value, i) => {
    const wanted = values[i] ?? NaN;
    const error = Math.abs(value - wanted);
    assert.ok(
      error <= tolerance * Math.max(1, Math.abs(wanted)),
      `${what}[${i}]: ${value}, ${wanted}`,
    );
  });
}

/** Errors of a gradient relative to its size; one that is rounding alone may be anything so small. */
export function assertGradient(
  actual: Tensor | null,
  expected: Tensor,
  typical: number,
  name: string,
): void {
  const values = expected.toArray();
  // Without a gradient is what the output does not depend on.
  const own = sampled(actual?.toArray() ?? values.map(() => 0), expected);
  const error = Math.hypot(...own.map((value, i) => value - (values[i] ?? NaN)));
  const size = Math.hypot(...values);
  const slack = 1e-6 * typical * Math.sqrt(values.length);
  assert.ok(error <= 1e-4 * size + slack, `gradient of ${name}: ${error} of ${size}`);
}

/** Options of {@link describeTowerParity}. */
export interface TowerParityOptions {
  /** Fixture's path in fixtures/models, without its ending. */
  readonly fixture: string;
  /** Makes the tower, without weights. */
  readonly create: () => ImageTower;
}

/**
 * Compares a tower with reference values: output and last feature map within 2e-5, all gradients
 * within 1e-4, in evaluation and, where batch statistics matter, in training with the running
 * statistics afterwards.
 */
export function itEqualsTheReference({ fixture, create }: TowerParityOptions): void {
  const reference = openReference(fixture);
  const modes = reference.has('train.pooled') ? (['eval', 'train'] as const) : (['eval'] as const);
  for (const mode of modes) {
    it(`equals the reference in ${mode === 'eval' ? 'evaluation' : 'training'}: ${fixture}`, () => {
      using tower = create();
      tower.loadStateDict(part(reference, 'weight.'));
      tower.train(mode === 'train');
      scope(() => {
        const { pooled, tokens }: Encoded = tower.encode(find(reference, 'pixels'), {
          tokens: true,
        });
        assertValues(pooled, find(reference, `${mode}.pooled`), 2e-5, 'pooled');
        const positions = reference.get(`${mode}.tokens`);
        if (positions !== undefined)
          assertValues(tokens ?? assert.fail(), positions, 2e-5, 'tokens');
        sum(mul(pooled, find(reference, 'cotangent'))).backward();
      });
      const gradients = part(reference, `${mode}.grad.`);
      const parameters = tower.namedParameters();
      assert.deepEqual([...parameters.keys()].sort(), [...gradients.keys()].sort());
      const typical = Math.max(
        ...[...gradients.values()].map((g) => Math.abs(Math.max(...g.toArray()))),
      );
      for (const [name, gradient] of gradients) {
        assertGradient(parameters.get(name)?.grad ?? null, gradient, typical, name);
      }
      if (mode !== 'train') return;
      const state = tower.stateDict();
      for (const [name, value] of part(reference, 'train.state.')) {
        assertValues(state.get(name) ?? assert.fail(name), value, 2e-5, name);
      }
    });
  }
}

/** An image tower by its configuration, with random weights. */
export function towerOf(vision: object, embedDim = 6): ImageTower {
  const text = { width: 64, heads: 1, layers: 1, vocabSize: 10, contextLength: 4 };
  const config = parseModelConfig({ embedDim, vision, text });
  return createModel(config, { generator: new Generator({ seed: 1 }) }).visual;
}

/** Under autocast to bfloat16 the features of the fixture's pixels stay near those in float32. */
export function itWorksInBfloat16({ fixture, create }: TowerParityOptions): void {
  it(`computes in bfloat16, near to float32: ${fixture}`, () => {
    const reference = openReference(fixture);
    using tower = create();
    tower.loadStateDict(part(reference, 'weight.'));
    tower.eval();
    noGrad(() => {
      scope(() => {
        const encode = () => tower.encode(find(reference, 'pixels')).pooled;
        const exact = encode();
        const half = to(autocast('bfloat16', encode), { dtype: 'float32' });
        const error = Math.hypot(...sub(half, exact).toArray());
        assert.ok(error < 0.05 * Math.hypot(...exact.toArray()), `${error}`);
      });
    });
  });
}

/** Options of {@link itDropsBranchesInTrainingOnly}. */
export interface DropPathOptions {
  readonly imageSize: number;
  /** Makes a tower in training mode, with the given probability of dropping a branch. */
  readonly create: (dropPath: number) => ImageTower;
}

/** Stochastic depth: deterministic by the stream, off in evaluation, and nothing at a rate of 0. */
export function itDropsBranchesInTrainingOnly({ imageSize, create }: DropPathOptions): void {
  const shape = [2, 3, imageSize, imageSize];

  it('drops branches in training only, depending on the random stream alone', () => {
    using tower = create(0.9);
    using pixels = randn(shape, new Generator({ seed: 2 }));
    const encode = (seed: number) =>
      scope(() => tower.encode(pixels, { generator: new Generator({ seed }) }).pooled).toArray();
    assert.deepEqual(encode(1), encode(1));
    assert.notDeepEqual(encode(1), encode(2));
    assert.throws(() => tower.encode(pixels), { message: /pass a generator to encodeImage/ });
    tower.eval();
    assert.deepEqual(encode(1), encode(2));
  });

  it('computes the same in training and evaluation if no branch is dropped', () => {
    using tower = create(0);
    using pixels = randn(shape, new Generator({ seed: 2 }));
    const encode = () => scope(() => tower.encode(pixels).pooled).toArray();
    const trained = encode();
    tower.eval();
    assert.deepEqual(encode(), trained);
  });
}
