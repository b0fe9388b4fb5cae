import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  fromTypedArray,
  Generator,
  memoryStats,
  noGrad,
  openClipDecayRules,
  parameterGroups,
  randn,
  scope,
  sum,
  type Tensor,
} from '@bantam/torch';
import {
  createModel,
  inheritanceRecord,
  inheritedPatterns,
  inheritWeights,
  modelConfig,
  type Clip,
} from '../../models/index.js';
import * as v from 'valibot';
import { trainSchema } from '../config/settings.js';
import { createOptimizer } from './optimizer.js';

const defaults = v.parse(trainSchema, {});

const seeded = (seed: number) => new Generator({ seed });
const pixels = () => randn([4, 3, 64, 64], seeded(3));
const ids = () =>
  fromTypedArray(
    BigInt64Array.from({ length: 4 * 16 }, (_, i) => BigInt((i * 37) % 4096)),
    {
      shape: [4, 16],
    },
  );

/** A SiCLIP student whose inherited modules are frozen, as `bantam train --freeze-inherited` has it. */
function student({ frozen }: { frozen: boolean }): Clip {
  using teacher = createModel(modelConfig('MobileCLIP-Nano-64'), { generator: seeded(1) });
  const model = createModel(modelConfig('SiCLIP-Nano-64'), { generator: seeded(2) });
  const inheritance = inheritWeights(teacher, model, { method: 'module' });
  const patterns = inheritedPatterns({ inheritance: inheritanceRecord(inheritance, 'teacher') });
  if (frozen) model.freeze(patterns ?? []);
  return model;
}

/** Bytes that the graph of what `run` computes keeps, beside its result. */
function keptBytes(run: () => Tensor): number {
  return scope(() => {
    const before = memoryStats().liveBytes;
    const result = scope(run);
    return memoryStats().liveBytes - before - 4 * result.size;
  });
}

const bytesOf = (tensors: Iterable<{ size: number }>) =>
  [...tensors].reduce((total, { size }) => total + 4 * size, 0);

describe('a student whose inherited modules are frozen', () => {
  for (const [optimizer, perParameter] of [
    ['adamw', 2],
    ['lion', 1],
  ] as const) {
    it(`has gradients and ${optimizer}'s state of the parameters that learn alone`, () => {
      const model = student({ frozen: true });
      const learning = model.parameters().filter(({ requiresGrad }) => requiresGrad);
      const fraction = bytesOf(learning) / bytesOf(model.parameters());
      assert.ok(fraction > 0.3 && fraction < 0.45, `${fraction} of the parameters learn`);
      const step = createOptimizer(
        { ...defaults, optimizer },
        parameterGroups([{ module: model }], openClipDecayRules),
      );
      const before = memoryStats().liveBytes;
      scope(() => {
        sum(model.encodeImage(pixels())).backward();
        sum(model.encodeText(ids())).backward();
      });
      // The temperature is not part of these features.
      const reached = learning.filter((parameter) => parameter !== model.logitScale);
      assert.equal(memoryStats().liveBytes - before, bytesOf(reached));
      scope(() => {
        for (const [name, { grad, requiresGrad }] of model.namedParameters()) {
          assert.equal(grad !== null, requiresGrad && name !== 'logit_scale', name);
        }
        step.step();
        step.zeroGrad();
      });
      const counters = optimizer === 'adamw' ? 4 * reached.length : 0;
      assert.equal(memoryStats().liveBytes - before, perParameter * bytesOf(reached) + counters);
      step[Symbol.dispose]();
      model.dispose();
    });
  }

  it('keeps no graph if nothing learns before a module', () => {
    const [whole, frozen] = [student({ frozen: false }), student({ frozen: true })];
    const image = (model: Clip) => keptBytes(() => model.encodeImage(pixels()));
    const text = (model: Clip) => keptBytes(() => model.encodeText(ids()));
    const all = { image: image(whole), text: text(whole) };
    const some = { image: image(frozen), text: text(frozen) };
    // Stem and three of four stages lie before the blocks that learn.
    assert.ok(some.image < 0.1 * all.image, `${some.image} of ${all.image} bytes`);
    // A convolution along the text before them and one after them stay.
    assert.ok(some.text < 0.75 * all.text, `${some.text} of ${all.text} bytes`);
    frozen.freeze(['*']);
    assert.deepEqual([image(frozen), text(frozen)], [0, 0]);
    noGrad(() => {
      assert.deepEqual([image(whole), text(whole)], [0, 0]);
    });
    whole.dispose();
    frozen.dispose();
  });
});
