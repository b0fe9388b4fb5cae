import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import {
  Generator,
  memoryStats,
  resetPeakBytes,
  scope,
  type FloatDType,
  type Tensor,
} from '@bantam/torch';
import {
  createModel,
  modelConfig,
  parseModelConfig,
  presets,
  withChanges,
  type ModelConfig,
} from '../../models/index.js';
import { addGradients, BufferSnapshot } from './gradients.js';
import { type Bench, createBench, cut, numbersOf } from '../../test-support/strategy-bench.js';
import { readMetrics } from '../run-dir/metrics.js';
import { tiny, TinyRuns } from '../../test-support/tiny-runs.js';
import { resumeTraining } from '../train.js';

/** One step on a micro-batch of so many samples. */
function stepOf(
  bench: Bench,
  options: { gradCheckpointing: boolean; precision?: FloatDType; size?: number },
): Record<string, number> {
  const { gradCheckpointing, precision = 'float32', size = 8 } = options;
  const given = bench.options(1, 0.3);
  return numbersOf(
    addGradients(cut(bench.batch, [size]), {
      ...given,
      step: { ...given.step, precision },
      gradCheckpointing,
    }),
  );
}

/** A model of the zoo that draws in its blocks where it can. */
function drawing(name: string): ModelConfig {
  const config = modelConfig(name);
  return 'dropPath' in config.vision ? withChanges(config, { vision: { dropPath: 0.4 } }) : config;
}

/** Tells tensors apart that differ in a bit. */
function fingerprint(tensor: Tensor): string {
  const { buffer } = tensor.toTypedArray();
  return createHash('sha256').update(new Uint8Array(buffer)).digest('hex');
}

const small = [...presets.keys()].filter((name) => /-(Pico|Nano|Micro)-/.test(name));

describe('gradient checkpointing', () => {
  for (const name of small) {
    it(`changes no bit of a step of ${name}`, () => {
      scope(() => {
        const config = drawing(name);
        const type = config.decoder === null ? 'clip' : 'coca';
        using model = createModel(config, { generator: new Generator({ seed: 1 }) });
        const untouched = new BufferSnapshot([model]);
        for (const precision of ['float32', 'bfloat16'] as const) {
          const [plain, checkpointed] = [false, true].map((gradCheckpointing) => {
            const bench = createBench({ type }, { config, model, dtype: 'float32' });
            const losses = stepOf(bench, { gradCheckpointing, precision, size: 2 });
            const streams = bench.streams.state();
            const buffers = [...model.namedBuffers().values()].map(fingerprint);
            const gradients = model.parameters().map(({ grad }) => grad && fingerprint(grad));
            untouched.restore();
            model.zeroGrad();
            return { losses, gradients, buffers, streams };
          });
          assert.ok(plain && new Set(plain.gradients).size > 50);
          assert.deepEqual(checkpointed, plain, precision);
        }
      });
    });
  }

  it('keeps the inputs of blocks and one block at a time', () => {
    const layers = 12;
    const width = 64;
    const config = parseModelConfig({
      embedDim: 32,
      vision: { imageSize: 32, patchSize: 4, width, headWidth: 32, layers },
      text: { width: 32, heads: 2, layers: 1, vocabSize: 20, contextLength: 8 },
    });
    const bench = createBench('clip', { config, dtype: 'float32' });
    const peak = (gradCheckpointing: boolean): number => {
      // The first step makes the parameters' gradients, which stay.
      stepOf(bench, { gradCheckpointing });
      const { liveBytes, liveTensors } = memoryStats();
      resetPeakBytes();
      stepOf(bench, { gradCheckpointing });
      const { peakBytes, ...after } = memoryStats();
      assert.deepEqual([after.liveBytes, after.liveTensors], [liveBytes, liveTensors]);
      return peakBytes - liveBytes;
    };
    const [plain, checkpointed] = [peak(false), peak(true)];
    const input = 4 * 8 * (1 + 8 * 8) * width;
    // An MLP keeps what its activation is given alone, and makes the activation again for the gradient.
    const activation = 4 * input;
    const bound = layers * input + 2 * (plain / layers) + activation;
    assert.ok(checkpointed < bound, `${checkpointed} bytes, not ${bound}`);
    assert.ok(plain > 2 * bound, `${plain} bytes without are no test for ${bound}`);
  });
});

describe('a run with gradient checkpointing', () => {
  const runs = new TinyRuns();
  before(() => runs.make());
  after(() => {
    runs.remove();
  });

  it('ends with the same bytes, also where it is turned on on the way', async () => {
    const model = withChanges(tiny, { vision: { patchDropout: 0.5 } });
    await runs.train('plain', { model });
    const controller = new AbortController();
    const part = await runs.train('on', {
      model,
      signal: controller.signal,
      onEvent: (event) => {
        if (event.kind === 'step' && event.step === 5) controller.abort();
      },
    });
    assert.equal(part.interrupted, true);
    const path = runs.path('on', 'config.json');
    const config = readFileSync(path, 'utf8');
    const on = config.replace('"gradCheckpointing": false', '"gradCheckpointing": true');
    assert.notEqual(on, config);
    writeFileSync(path, on);
    await resumeTraining(runs.path('on'), {});
    assert.ok(runs.weights('on').equals(runs.weights('plain')));
    const expected = runs.checkpoint('plain');
    for (const [name, bytes] of runs.checkpoint('on')) assert.ok(expected.get(name)?.equals(bytes));
    const losses = (name: string) => readMetrics(runs.path(name)).map(({ loss }) => loss);
    assert.deepEqual(losses('on'), losses('plain'));
  });
});
