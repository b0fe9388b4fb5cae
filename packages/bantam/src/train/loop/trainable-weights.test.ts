import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  BatchNorm2d,
  fromTypedArray,
  Generator,
  memoryStats,
  randn,
  RandomStreams,
  scope,
  sum,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { createModel, modelConfig, type Clip } from '../../models/index.js';
import { fineTuneSchema, type FineTune } from '../config/fine-tune.js';
import { trainSchema } from '../config/settings.js';
import { TrainableWeights } from './trainable-weights.js';

interface Options {
  name?: string;
  freeze?: readonly string[];
  fineTune?: v.InferInput<typeof fineTuneSchema>;
}

function open({ name = 'ViT-Nano-16-64', freeze = [], fineTune = 'full' }: Options) {
  const model = createModel(modelConfig(name), { generator: new Generator({ seed: 1 }) });
  const train = { ...v.parse(trainSchema, {}), freeze };
  const config = { train, fineTune: v.parse(fineTuneSchema, fineTune) as FineTune };
  const streams = new RandomStreams({ seed: 2 });
  const weights = new TrainableWeights(model, { config, strategy: {}, streams });
  weights.select('all');
  return { model, weights };
}

const image = (model: Clip): Tensor =>
  model.encodeImage(randn([4, 3, 64, 64], new Generator({ seed: 3 })));

const text = (model: Clip): Tensor =>
  model.encodeText(
    fromTypedArray(
      BigInt64Array.from({ length: 64 }, (_, i) => BigInt((i * 37) % 4096)),
      { shape: [4, 16] },
    ),
  );

/** Bytes that the graph of what `run` computes keeps, beside its result. */
function keptBytes(run: () => Tensor): number {
  return scope(() => {
    const before = memoryStats().liveBytes;
    const result = scope(run);
    return memoryStats().liveBytes - before - 4 * result.size;
  });
}

/** Bytes of all gradients after a backward pass through both towers. */
function gradientBytes(model: Clip): number {
  scope(() => {
    for (const run of [image, text]) {
      const features = run(model);
      if (features.requiresGrad) sum(features).backward();
    }
  });
  const bytes = model.parameters().reduce((total, { grad, size }) => total + (grad === null ? 0 : 4 * size), 0); // prettier-ignore
  model.zeroGrad();
  return bytes;
}

describe('frozen towers', () => {
  for (const [tower, run, other] of [
    ['image', image, text],
    ['text', text, image],
  ] as const) {
    for (const name of ['ViT-Nano-16-64', 'SigLIP-Nano-64', 'ModifiedResNet-Nano-64']) {
      it(`keep no graph and have no gradients: ${tower} of ${name}`, () => {
        const { model } = open({ name, freeze: [tower] });
        assert.equal(keptBytes(() => run(model)), 0); // prettier-ignore
        assert.ok(keptBytes(() => other(model)) > 0);
        const learning = (tower === 'image' ? model.text : model.visual).parameters();
        assert.equal(gradientBytes(model), learning.reduce((sum, { size }) => sum + 4 * size, 0)); // prettier-ignore
        model.dispose();
      });
    }
  }

  it('stay in evaluation mode, whatever phase is selected', () => {
    const { model, weights } = open({ name: 'ModifiedResNet-Nano-64', freeze: ['image'] });
    const norms = [...model.namedModules().values()].filter((one) => one instanceof BatchNorm2d);
    for (const trains of ['all', 'head', 'all'] as const) {
      weights.select(trains);
      assert.ok(norms.length > 0 && norms.every(({ training }) => !training));
      const before = norms.map(({ runningMean }) => runningMean.toArray());
      scope(() => image(model));
      assert.deepEqual(norms.map(({ runningMean }) => runningMean.toArray()), before); // prettier-ignore
    }
    model.dispose();
  });
});

describe('the head alone', () => {
  it('learns without the blocks before it, whose batch norms keep their statistics', () => {
    const { model, weights } = open({ name: 'ModifiedResNet-Nano-64' });
    const [whole, gradients] = [keptBytes(() => image(model)), gradientBytes(model)];
    weights.select('head');
    assert.ok(keptBytes(() => image(model)) < 0.2 * whole);
    assert.ok(gradientBytes(model) < 0.5 * gradients);
    const norms = [...model.namedModules().values()].filter((one) => one instanceof BatchNorm2d);
    assert.ok(norms.every(({ training }) => !training));
    weights.select('all');
    assert.ok(norms.every(({ training }) => training));
    assert.equal(gradientBytes(model), gradients);
    model.dispose();
  });
});

describe('low-rank changes', () => {
  it('have the only gradients', () => {
    const { model } = open({ fineTune: { type: 'lora', rank: 2 } });
    const learning = model.parameters().filter(({ requiresGrad }) => requiresGrad);
    const all = model.parameters().reduce((sum, { size }) => sum + size, 0);
    const bytes = gradientBytes(model);
    assert.equal(bytes, learning.reduce((sum, { size }) => sum + 4 * size, 0)); // prettier-ignore
    assert.ok(bytes < 0.03 * 4 * all, `${bytes} of ${4 * all}`);
    model.dispose();
  });
});
