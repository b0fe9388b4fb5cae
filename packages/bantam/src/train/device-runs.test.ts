import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { at, deviceMemory, loadSafetensors, resetDevicePeak, type Tensor } from '@bantam/torch';
import { openSource } from '../data/index.js';
import { encodePixels, encodeTexts, loadForInference } from '../eval/index.js';
import { modelConfig } from '../models/index.js';
import { assertAllClose } from '../test-support/strategy-bench.js';
import { needsEmulated, testDevice } from '../test-support/test-device.js';
import { fixture } from '../test-support/text-fixture.js';
import { tinyCoca, TinyRuns } from '../test-support/tiny-runs.js';
import { trainTokenizer } from '../text/index.js';
import { readMetrics } from './run-dir/metrics.js';
import { ReinforcedSet } from './teachers/reinforced-set.js';
import { reinforceSource } from './teachers/reinforce.js';
import { planRun, resumeTraining, train, type TrainOptions } from './train.js';

const runs = new TinyRuns();
before(async () => {
  await runs.make();
  await runs.train('teacher', { budget: '24samples' });
});
after(() => {
  runs.remove();
});

/**
 * The numbers of a weight, without the bias of an attention's keys: scores do not depend on it, so its
 * gradient is rounding alone, of which some optimizers make whole steps.
 */
function weightsOf(name: string, weight: Tensor): number[] {
  const numbers = weight.toArray();
  const third = numbers.length / 3;
  return name.endsWith('in_proj_bias') ? numbers.fill(0, third, 2 * third) : numbers;
}

/** Asserts that two runs had the same losses and ended with the same weights, within tolerances. */
function assertSameRuns(
  actual: string,
  expected: string,
  { tolerance = 1e-3, weights = tolerance }: { tolerance?: number; weights?: number } = {},
): void {
  const [a, b] = [actual, expected].map((name) => {
    const { tensors } = loadSafetensors(runs.path(name, 'model', 'open_clip_model.safetensors'));
    return {
      weights: new Map([...tensors].map(([key, tensor]) => [key, weightsOf(key, tensor)])),
      rows: readMetrics(runs.path(name)),
    };
  });
  assert.ok(a && b);
  const steps = ({ rows }: typeof a) =>
    rows.map(({ step, samples, epoch }) => [step, samples, epoch]);
  assert.deepEqual(steps(a), steps(b));
  for (const name of ['loss', 'gradNorm', 'logitScale', 'lr'] as const) {
    for (const [i, row] of b.rows.entries()) {
      const found = at(a.rows, i)[name];
      const near = Math.abs(found - row[name]) <= tolerance * Math.max(1, Math.abs(row[name]));
      assert.ok(near, `${name} of step ${row.step} is ${found}, not ${row[name]}`);
    }
  }
  assertAllClose(a.weights, b.weights, { tolerance: weights, what: 'weight' });
}

describe('training runs on another device', () => {
  const trained: readonly {
    name: string;
    changes: Partial<TrainOptions>;
    tolerance?: number;
    weights?: number;
  }[] = [
    { name: 'clip', changes: { budget: '400samples' } },
    { name: 'ema', changes: { train: { ema: 0.9, accumulate: 2, clipNorm: 0.1 } } },
    { name: 'cache', changes: { train: { microBatch: 4, gradCheckpointing: true } } },
    { name: 'lion', changes: { train: { optimizer: 'lion', lr: 1e-4 } } },
    { name: 'adafactor', changes: { train: { optimizer: 'adafactor' } }, weights: 0.01 },
    // AdamW makes whole steps of small gradients that two 16-bit roundings tell apart.
    { name: 'bf16', changes: { train: { precision: 'bf16' } }, tolerance: 0.05, weights: 0.5 },
    { name: 'fp16', changes: { train: { precision: 'fp16' } }, tolerance: 0.01, weights: 0.3 },
    { name: 'flip', changes: { strategy: 'flip' } },
    { name: 'clip-da', changes: { strategy: 'clip-da' } },
    { name: 'clipa', changes: { strategy: { type: 'clipa', imageSize: 8, textLength: 6 } } },
    { name: 'slip', changes: { strategy: { type: 'slip', headWidth: 12, headDim: 8 } } },
    { name: 'fastclip', changes: { strategy: 'fastclip' } },
    { name: 'coca', changes: { strategy: 'coca', model: tinyCoca } },
  ];
  for (const { name, changes, ...tolerances } of trained) {
    it(`end like those on the CPU: ${name}`, async () => {
      await runs.train(`${name}-cpu`, { ...changes, device: 'cpu' });
      await runs.train(`${name}-device`, { ...changes, device: testDevice });
      assertSameRuns(`${name}-device`, `${name}-cpu`, tolerances);
    });
  }

  it('end like those on the CPU: distillation and a locked tower', async () => {
    const teacher = runs.path('teacher', 'model');
    const strategies = {
      distill: { strategy: { type: 'distill', teachers: [teacher] } },
      lit: { strategy: 'lit', init: { image: teacher } },
    } as const;
    for (const [name, changes] of Object.entries(strategies)) {
      await runs.train(`${name}-cpu`, { ...changes, device: 'cpu' });
      await runs.train(`${name}-device`, { ...changes, device: testDevice });
      assertSameRuns(`${name}-device`, `${name}-cpu`);
    }
  });

  it('end like those on the CPU: low-rank fine-tuning, merged and as an adapter', async () => {
    const init = { model: runs.path('teacher', 'model') };
    // Dropout has a number for each token, and only the CPU leaves padding out.
    const lora = { type: 'lora', rank: 2, alpha: 4, dropout: 0 } as const;
    for (const save of ['merged', 'adapter'] as const) {
      const changes = { init, fineTune: { ...lora, save }, train: { ema: 0.9, lr: 1e-3 } };
      await runs.train(`lora-${save}-cpu`, { ...changes, device: 'cpu' });
      await runs.train(`lora-${save}-device`, { ...changes, device: testDevice });
    }
    assertSameRuns('lora-merged-device', 'lora-merged-cpu');
    const [adapter, expected] = ['device', 'cpu'].map((where) => {
      const folder = runs.path(`lora-adapter-${where}`, 'model');
      const { tensors } = loadSafetensors(join(folder, 'adapter_model.safetensors'));
      return new Map([...tensors].map(([name, tensor]) => [name, tensor.toArray()]));
    });
    assert.ok(adapter && expected && expected.size > 0);
    assertAllClose(adapter, expected, { tolerance: 0.01, what: 'low-rank weight' });
  });

  it('end like those on the CPU, as do the features: a unigram tokenizer from a file', async () => {
    const captions = fixture('captions.json') as string[];
    const tokenizer = trainTokenizer(captions, {
      type: 'unigram',
      vocabSize: 100,
      contextLength: 16,
    });
    const path = runs.path('tokenizer');
    mkdirSync(path);
    await tokenizer.save(path);
    for (const [where, device] of Object.entries({ cpu: 'cpu', device: testDevice })) {
      await runs.train(`unigram-${where}`, { tokenizer: { path }, device });
    }
    assertSameRuns('unigram-device', 'unigram-cpu');
    const pixels = Uint8Array.from({ length: 2 * 16 * 16 * 3 }, (_, i) => (i * 37) % 256);
    const [cpu, other] = await Promise.all(
      ['cpu', testDevice].map(async (device) => {
        const model = await loadForInference(runs.path('unigram-cpu', 'model'), { device });
        const { loaded, precision } = model;
        const images = { pixels, shape: [2, 16, 16, 3] } as const;
        using texts = await encodeTexts(loaded, captions.slice(0, 9), { precision, batchSize: 4 });
        return new Map([
          ['image', Array.from(encodePixels(loaded, images, { precision }))],
          ['text', texts.toArray()],
        ]);
      }),
    );
    assert.ok(cpu && other);
    assertAllClose(other, cpu, { tolerance: 1e-5, what: 'feature' });
  });

  it('store the teacher embeddings of the CPU, and learn from them', async () => {
    const source = await openSource(runs.options('none').data);
    const stored = [];
    for (const where of ['cpu', testDevice]) {
      const out = runs.path(`set-${where}`);
      await reinforceSource(source, {
        teachers: [runs.path('teacher', 'model')],
        out,
        device: where,
        augmentations: 2,
        captions: 1,
        precision: 'fp32',
        store: 'fp32',
      });
      using set = await ReinforcedSet.open(out);
      const rows = { teacher: 0, indices: Int32Array.of(0, 7, 19) };
      stored.push([
        ...set.image({ ...rows, which: Int32Array.of(0, 1, 1) }).toArray(),
        ...set.text({ ...rows, which: Int32Array.of(0, 0, 0) }).toArray(),
      ]);
    }
    const [cpu, other] = stored.map((values) => new Map([['embeddings', values]]));
    assert.ok(cpu && other);
    assertAllClose(other, cpu, { tolerance: 1e-5, what: 'embedding' });
    const strategy = { type: 'distill', reinforced: runs.path('set-cpu') } as const;
    await runs.train('reinforced-cpu', { strategy, device: 'cpu' });
    await runs.train('reinforced-device', { strategy, device: testDevice });
    assertSameRuns('reinforced-device', 'reinforced-cpu');
  });

  it(
    'resume bit for bit, and with fp16 keep the scale of the loss',
    { skip: needsEmulated },
    async () => {
      for (const precision of ['fp32', 'fp16'] as const) {
        const changes = { train: { precision, ema: 0.9 }, device: testDevice };
        await runs.train(`whole-${precision}`, changes);
        const stop = new AbortController();
        const part = `part-${precision}`;
        const interrupted = await runs.train(part, {
          ...changes,
          signal: stop.signal,
          onEvent: (event) => {
            if (event.kind === 'step' && event.step === 5) stop.abort();
          },
        });
        assert.equal(interrupted.interrupted, true);
        await resumeTraining(runs.path(part), { device: testDevice });
        assert.deepEqual(runs.checkpoint(part), runs.checkpoint(`whole-${precision}`));
      }
    },
  );

  it(
    'take the memory of the device that was planned, and are refused beyond it',
    { skip: needsEmulated },
    async () => {
      const settings = { train: { batchSize: 20 }, budget: '40samples', device: testDevice };
      const models = {
        // The most memory is the optimizer's, or that of activations.
        tiny: runs.options('planned', settings),
        pico: runs.options('pico', { ...settings, model: modelConfig('ViT-Pico-8-64') }),
      };
      for (const options of Object.values(models)) {
        const { memory, time } = await planRun(options);
        assert.ok(time !== null);
        resetDevicePeak(testDevice);
        const before = deviceMemory(testDevice).allocated;
        await train(options);
        const taken = deviceMemory(testDevice).peak - before;
        const ratio = memory.onDevice / taken;
        assert.ok(ratio > 0.9 && ratio < 1.3, `${memory.onDevice} bytes planned, ${taken} taken`);
      }
      const options = models.tiny;
      const limited = { ...options, out: runs.path('limited') };
      await assert.rejects(
        train({ ...limited, train: { ...options.train, memoryLimit: 1e-4 } }),
        new RegExp(
          `^BantamError: This training would take about [\\d.]+ [kM]B of memory on ${testDevice}, but train\\.memoryLimit allows`,
        ),
      );
    },
  );

  it('resume on another device and back', async () => {
    await runs.train('stay', { device: 'cpu' });
    const devices = ['cpu', testDevice, 'cpu'];
    for (const [part, where] of devices.entries()) {
      const stop = new AbortController();
      const control = {
        device: where,
        signal: stop.signal,
        onEvent: (event: { kind: string; step?: number }) => {
          if (event.kind === 'step' && event.step === 4 * (part + 1)) stop.abort();
        },
      };
      if (part === 0) await runs.train('move', control);
      else await resumeTraining(runs.path('move'), control);
    }
    assertSameRuns('move', 'stay');
  });
});
