import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import {
  Generator,
  index,
  loadSafetensors,
  logSoftmax,
  mean,
  narrow,
  noGrad,
  scope,
  tensor,
  zero_,
} from '@bantam/torch';
import { createModel, modelConfig, upcycle, type ModelConfig } from '../../models/index.js';
import { addGradients } from '../loop/gradients.js';
import {
  assertAllClose,
  type Bench,
  buffers,
  captioning,
  createBench,
  cut,
  gradients,
  maskless,
  numbersOf,
  step,
} from '../../test-support/strategy-bench.js';
import { readMetrics } from '../run-dir/metrics.js';
import { TinyRuns, tiny } from '../../test-support/tiny-runs.js';

const runs = new TinyRuns();
before(async () => {
  await runs.make();
  await runs.train('clip');
});
after(() => {
  runs.remove();
});

describe('slip', () => {
  it('has the gradient of clip where its own loss counts nothing', () => {
    const slip = step(createBench({ type: 'slip', sslScale: 0, headWidth: 10, headDim: 6 }, { config: maskless })); // prettier-ignore
    const clip = step(createBench('clip', { config: maskless }));
    const ofModel = new Map([...gradients(slip)].filter(([name]) => !name.startsWith('strategy.')));
    assertAllClose(ofModel, gradients(clip), { tolerance: 1e-12, what: 'slip' });
  });

  it("adds the routers' losses of all its views", () => {
    scope(() => {
      const generator = new Generator({ seed: 6 });
      const dense = createModel(maskless, { generator });
      const model = upcycle(dense, { vision: { experts: 3 }, text: { experts: 3 }, generator });
      const slip = { type: 'slip', headWidth: 10, headDim: 6 } as const;
      const bench = createBench(slip, { config: model.config, dtype: 'float32', model });
      const { batch, strategy } = bench;
      const { step } = bench.options(1, 0);
      const found = strategy.losses(strategy.encode(batch, step), step).auxiliary?.item();
      const passes = [...Object.values(batch.images).map((view) => model.visual.encode(view)), model.text.encode(batch.ids)]; // prettier-ignore
      assert.equal(passes.length, 4);
      const expected = passes.map(({ auxiliaryLoss }) => auxiliaryLoss && mean(auxiliaryLoss));
      const sum = expected.reduce((total, loss) => total + (loss?.item() ?? NaN), 0);
      assert.ok(Math.abs((found ?? NaN) - sum) < 1e-6, `${found}, not ${sum}`);
    });
  });
});

describe('coca', () => {
  it('has the gradient of clip where captions count nothing', () => {
    const config = captioning(maskless);
    const coca = step(createBench({ type: 'coca', captionWeight: 0 }, { config }));
    const clip = step(createBench('clip', { config }));
    const shared = (bench: Bench) =>
      new Map([...gradients(bench)].filter(([name]) => !name.startsWith('text_decoder.')));
    // The first query alone is the feature's, the others are read by the decoder.
    assertAllClose(shared(coca), shared(clip), { tolerance: 1e-9, what: 'coca' });
  });

  it('costs what a token of the batch costs, however long the captions are', () => {
    const bench = createBench('coca', { config: captioning(maskless) });
    const { caption } = numbersOf(addGradients(cut(bench.batch, [8]), bench.options(1, 0)));
    const parts = [0, 1, 2, 3, 4, 5, 6, 7].map((row) => costOf(bench, row));
    const tokens = parts.reduce((sum, part) => sum + part.tokens, 0);
    const cost = parts.reduce((sum, part) => sum + part.cost, 0);
    assert.equal(tokens, 8 * 3 - 3);
    assert.ok(Math.abs((caption ?? NaN) - (2 * cost) / tokens) < 1e-12);
  });
});

/** One caption's −Σ ln p, computed on its own, without the padding. */
function costOf({ model, batch }: Bench, row: number): { tokens: number; cost: number } {
  return noGrad(() =>
    scope(() => {
      const ids = narrow(batch.ids, 0, row, 1)
        .toArray()
        .filter((id) => id !== 0);
      const own = tensor([ids], { dtype: 'int64' });
      const pixels = narrow(batch.images.image ?? assert.fail(), 0, row, 1);
      const image = model.visual.encode(pixels, { tokens: true }).tokens;
      const text = model.text.encode(own, { tokens: true }).tokens;
      const logits = model.textDecoder?.forward(text ?? assert.fail(), image ?? assert.fail());
      const logs = logSoftmax(logits ?? assert.fail(), -1);
      const cost = ids
        .slice(1)
        .reduce((sum, id, i) => sum - index(logs, [0, i, id].map(at)).item(), 0);
      return { tokens: ids.length - 1, cost };
    }),
  );
}

const at = (place: number) => tensor(place, { dtype: 'int64' });

describe('flip and clipa', () => {
  it('are clip, bit for bit, where they leave nothing out', async () => {
    for (const strategy of [
      { type: 'flip', maskRatio: 0, tuneFraction: 0 },
      { type: 'clipa', imageSize: 16, textLength: 16, tuneFraction: 0 },
    ] as const) {
      await runs.train(strategy.type, { strategy });
      assert.ok(runs.weights(strategy.type).equals(runs.weights('clip')), strategy.type);
    }
  });
});

describe('siglip', () => {
  it('is the same in chunks', () => {
    const inChunks = (chunk: number): Bench => {
      const loss = { type: 'sigmoid', chunk } as const;
      return step(createBench({ type: 'siglip', loss }, { config: maskless }));
    };
    const [chunks, whole] = [inChunks(3), inChunks(0)];
    assertAllClose(gradients(chunks), gradients(whole), { tolerance: 1e-12, what: 'chunks' });
  });

  it('gives a model a bias where it has none, and starts from one that has none', async () => {
    assert.equal(tiny.initLogitBias, null);
    const init = { model: runs.path('clip', 'model') };
    for (const options of [{}, { init }]) {
      const { run } = await runs.train(`siglip ${Object.keys(options).join('')}`, {
        ...options,
        strategy: 'siglip',
        budget: '8samples',
      });
      const [row] = readMetrics(run);
      assert.ok(Math.abs((row?.logitScale ?? 0) - 10) < 0.1, 'starts at the scale of its bias');
    }
  });
});

describe('fastclip', () => {
  const estimatesOf = (bench: Bench, name: string): number[] => buffers(bench).get(name) ?? [];

  it('estimates the samples that were seen, and no others', () => {
    for (const sizes of [[8], [3, 5]]) {
      const bench = createBench({ type: 'fastclip' });
      step(bench, { sizes });
      const first = estimatesOf(bench, 'log_u_image');
      const seen = [...bench.batch.indices];
      for (const [sample, logU] of first.entries()) {
        assert.equal(Number.isFinite(logU), seen.includes(sample), `sample ${sample}`);
      }
    }
  });

  it('keeps estimates if nothing changes: u is then its own next value', () => {
    const bench = createBench({ type: 'fastclip' }, { config: maskless });
    step(bench);
    const first = estimatesOf(bench, 'log_u_text');
    step(bench, { at: 2, sizes: [3, 5] });
    for (const [i, logU] of estimatesOf(bench, 'log_u_text').entries()) {
      assert.ok(Object.is(logU, first[i]) || Math.abs(logU - (first[i] ?? NaN)) < 1e-12);
    }
  });

  it('mixes the present batch into the estimates by γ, once for each step', () => {
    // Never seen: u = g. Seen: ln u moves to ln((1 − γ)·u + γ·g), whatever the number of micro-batches.
    for (const sizes of [[8], [4, 4], [2, 2, 2, 2]]) {
      const bench = createBench(
        { type: 'fastclip', loss: { type: 'global', gammaMin: 0.4 } },
        { config: maskless },
      );
      step(bench);
      const g = estimatesOf(bench, 'log_u_image').map(Math.exp);
      for (const [name, buffer] of bench.strategy.module?.namedBuffers() ?? []) {
        if (name !== 'log_u_image') continue;
        noGrad(() => zero_(buffer));
      }
      addGradients(cut(bench.batch, sizes), bench.options(2, 0.9));
      const next = estimatesOf(bench, 'log_u_image');
      for (const sample of bench.batch.indices) {
        const expected = Math.log(0.6 + 0.4 * (g[sample] ?? NaN));
        assert.ok(Math.abs((next[sample] ?? NaN) - expected) < 1e-9, `${sizes.join()}: ${sample}`);
      }
    }
  });

  it("moves the temperatures of the batch's samples alone (v2)", () => {
    for (const sizes of [[8], [3, 5]]) {
      const bench = createBench({ type: 'fastclip', loss: { type: 'global', version: 'v2' } });
      step(bench, { sizes });
      noGrad(() => bench.strategy.afterStep?.());
      for (const side of ['image', 'text']) {
        const tau = estimatesOf(bench, `${side}.tau`);
        for (const [sample, value] of tau.entries()) {
          const moved = Math.abs(value - 0.07) > 1e-6;
          assert.equal(moved, bench.batch.indices.includes(sample), `${side} ${sample}: ${value}`);
        }
      }
    }
  });

  it('keeps the temperature of v1, and learns that of v3', async () => {
    for (const [version, learns] of [
      ['v1', false],
      ['v3', true],
    ] as const) {
      const strategy = { type: 'fastclip', loss: { type: 'global', version } } as const;
      const { run } = await runs.train(version, { strategy, train: { lr: 0.01 } });
      const scale = readMetrics(run).at(-1)?.logitScale ?? NaN;
      assert.equal(Math.abs(scale - 1 / 0.07) > 1e-3, learns, `${version}: ${scale}`);
    }
  });

  it('updates estimates under accumulation, too', async () => {
    const { run } = await runs.train('accumulated', {
      strategy: 'fastclip',
      budget: '16samples',
      train: { accumulate: 2, microBatch: 2 },
    });
    assert.equal(readMetrics(run).length, 1);
    const path = runs.path('accumulated', 'checkpoints', 'step-00000001', 'strategy.safetensors');
    const { tensors } = loadSafetensors(path);
    const logU = tensors.get('log_u_image')?.toArray() ?? [];
    for (const tensor of tensors.values()) tensor.dispose();
    assert.equal(logU.length, 20);
    assert.equal(logU.filter(Number.isFinite).length, 16);
  });
});

describe('lit', () => {
  it('learns the same from stored features if images are not augmented', async () => {
    const runsOf = async (name: string, storeFeatures: boolean, microBatch = 0): Promise<void> => {
      await runs.train(name, {
        strategy: { type: 'lit', storeFeatures },
        init: { image: runs.path('clip', 'model') },
        augment: [{ op: 'resize' }],
        train: { microBatch },
      });
    };
    await runsOf('stored', true);
    await runsOf('stored in micro-batches', true, 2);
    await runsOf('computed', false);
    const losses = (name: string) => readMetrics(runs.path(name)).map(({ loss }) => loss);
    const expected = losses('computed');
    assert.equal(expected.length, 12);
    for (const name of ['stored', 'stored in micro-batches']) {
      for (const [i, loss] of losses(name).entries()) {
        assert.ok(Math.abs(loss - (expected[i] ?? NaN)) < 1e-5, `${name}, step ${i + 1}: ${loss}`);
      }
      assert.ok(Math.abs((losses(name)[0] ?? NaN) - (expected[0] ?? NaN)) < 1e-6, name);
    }
  });

  it('leaves the image tower unchanged bit for bit, batch norms included', async () => {
    const model: ModelConfig = modelConfig('ResNet-Nano-64', {
      embedDim: 16,
      vision: { imageSize: 32, width: 8, depths: [1, 1, 1, 1] },
      text: { width: 16, heads: 2, layers: 1 },
    });
    await runs.train('resnet', { model });
    const weightsOf = (name: string): Map<string, string> => {
      const path = runs.path(name, 'model', 'open_clip_model.safetensors');
      const { tensors } = loadSafetensors(path);
      const bytes = [...tensors].map(([key, tensor]): [string, string] => {
        const text = Array.from(tensor.toTypedArray(), String).join();
        tensor.dispose();
        return [key, text];
      });
      return new Map(bytes);
    };
    const before = weightsOf('resnet');
    for (const storeFeatures of [true, false]) {
      const name = `locked ${storeFeatures}`;
      await runs.train(name, {
        model,
        strategy: { type: 'lit', storeFeatures },
        init: { image: runs.path('resnet', 'model') },
        train: { ema: 0.9, microBatch: 4 },
      });
      const after = weightsOf(name);
      const changed = [...before].filter(([key, value]) => after.get(key) !== value);
      assert.ok(changed.length > 10, 'the text tower learns');
      assert.deepEqual(changed.filter(([key]) => key.startsWith('visual.')).map(([key]) => key), []); // prettier-ignore
      assert.ok([...before.keys()].some((key) => key.endsWith('running_mean')));
    }
  });
});
