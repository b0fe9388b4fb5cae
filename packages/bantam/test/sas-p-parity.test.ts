import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  add,
  arange,
  clone,
  loadSafetensors,
  lt,
  mean,
  mul,
  noGrad,
  scope,
  sum,
  tensor,
  type Module,
  type Tensor,
} from '@bantam/torch';
import { SasPBlock } from '../dist/models/blocks/sas-p.js';
import { createModel, parseModelConfig, type Encoded } from '../dist/models/index.js';
import { readModelFixture } from './model-fixtures.js';

/** Tensors of a case of fixtures/generate_sas_p.py. */
function openCase(name: string) {
  const file = new URL(`../fixtures/models/sas-p/${name}.safetensors`, import.meta.url);
  const { tensors } = loadSafetensors(fileURLToPath(file));
  return {
    get(key: string): Tensor {
      const found = tensors.get(key);
      assert.ok(found, key);
      return found;
    },
    /** Those below a prefix, by the rest of their names. */
    below(prefix: string): Map<string, Tensor> {
      const own = [...tensors].filter(([key]) => key.startsWith(prefix));
      return new Map(own.map(([key, value]) => [key.slice(prefix.length), value]));
    },
  };
}

type Case = ReturnType<typeof openCase>;

function assertValues(actual: Tensor, expected: Tensor, what: string): void {
  assert.deepEqual(actual.shape, expected.shape, what);
  const values = expected.toArray();
  actual.toArray().forEach((value, i) => {
    const error = Math.abs(value - (values[i] ?? NaN));
    assert.ok(error <= 2e-5, `${what}[${i}] is off by ${error}`);
  });
}

function assertGradient(actual: Tensor | null | undefined, expected: Tensor, what: string): void {
  const wanted = expected.toArray();
  // A parameter that nothing depends on has no gradient, which is 0.
  const found = actual?.toArray() ?? wanted.map(() => 0);
  assert.equal(found.length, wanted.length, what);
  const error = Math.hypot(...found.map((value, i) => value - (wanted[i] ?? NaN)));
  const size = Math.hypot(...wanted);
  assert.ok(error <= 1e-4 * size + 1e-7, `gradient of ${what}: off by ${error} of ${size}`);
}

function assertGradients(module: Module, expected: ReadonlyMap<string, Tensor>): void {
  const parameters = module.namedParameters();
  assert.deepEqual([...parameters.keys()].sort(), [...expected.keys()].sort());
  for (const [name, gradient] of expected) {
    assertGradient(parameters.get(name)?.grad, gradient, name);
  }
}

/** Σ output·probe of both towers, and what they add to the loss. */
function lossOf(reference: Case, towers: Readonly<Record<'image' | 'text', Encoded>>): Tensor {
  const parts = Object.entries(towers).flatMap(([tower, { pooled, auxiliaryLoss }]) => [
    sum(mul(pooled, reference.get(`probe.${tower}`))),
    ...(auxiliaryLoss === undefined ? [] : [mean(auxiliaryLoss)]),
  ]);
  return parts.reduce(add);
}

for (const name of ['class-token', 'shared', 'shared-attention', 'shared-pre-norm', 'moe']) {
  const reference = openCase(name);
  const { config, modes } = readModelFixture(`sas-p/${name}.json`) as {
    config: unknown;
    modes: object;
  };
  for (const mode of Object.keys(modes)) {
    it(`the model ${name} has the formulas' outputs and gradients: ${mode}`, () => {
      using model = createModel(parseModelConfig(config), { generator: null });
      model.loadStateDict(reference.below('weight.'));
      model.train(mode === 'train');
      scope(() => {
        const towers = {
          image: model.visual.encode(reference.get('pixels')),
          text: model.text.encode(reference.get('ids')),
        };
        for (const [tower, { pooled, auxiliaryLoss }] of Object.entries(towers)) {
          assertValues(pooled, reference.get(`${mode}.${tower}`), tower);
          if (mode === 'eval') assert.equal(auxiliaryLoss, undefined);
          else
            assertValues(
              auxiliaryLoss ?? pooled,
              reference.get(`${mode}.${tower}_auxiliary`),
              tower,
            );
        }
        lossOf(reference, towers).backward();
        assertGradients(model, reference.below(`${mode}.grad.`));
      });
    });
  }
}

describe('SasPBlock', () => {
  const reference = openCase('padded');
  const { lengths } = readModelFixture('sas-p/padded.json') as { lengths: number[] };

  for (const causal of [false, true]) {
    const mode = causal ? 'causal' : 'open';
    it(`has the formulas' outputs and gradients over padded rows: ${mode}`, () => {
      const blocks = [true, false].map(
        (ownValues) =>
          new SasPBlock({
            width: 12,
            heads: 3,
            hidden: 24,
            normEps: 1e-5,
            ownValues,
            generator: null,
          }),
      );
      scope(() => {
        const x = clone(reference.get('x'));
        x.requiresGrad = true;
        const visible = lt(arange(6), tensor(lengths.map((length) => [length])));
        const y = blocks.reduce((values, block, i) => {
          noGrad(() => block.loadStateDict(reference.below(`weight.resblocks.${i}.`)));
          return block.forward(values, { causal, visible });
        }, x);
        assertValues(y, reference.get(`${mode}.y`), 'output');
        sum(mul(y, reference.get('probe'))).backward();
        assertGradient(x.grad, reference.get(`${mode}.grad.x`), 'input');
        blocks.forEach((block, i) => {
          assertGradients(block, reference.below(`${mode}.grad.resblocks.${i}.`));
        });
      });
    });
  }
});
