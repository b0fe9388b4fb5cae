import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, beforeEach, describe, it } from 'node:test';
import { emptyCache, loadSafetensors, memoryStats } from '@bantam/torch';
import { UsageError } from '../base/errors.js';
import { loadModel, modelConfig, type ModelConfig } from '../models/index.js';
import { writeImages } from '../test-support/image-folders.js';
import type { TrainEvent, TrainResult } from './monitor/events.js';
import { readMetrics, type MetricsRow } from './run-dir/metrics.js';
import { readRunConfig } from './run-dir/paths.js';
import { resumeTraining, train, type TrainOptions } from './train.js';

const tiny: ModelConfig = modelConfig('ViT-Pico-8-64', {
  embedDim: 16,
  vision: { imageSize: 16, patchSize: 8, width: 16, headWidth: 8, layers: 2 },
  text: { width: 16, heads: 2, layers: 2 },
});

let images = '';
let data = '';
/** Folder of the runs of one case. */
let folder = '';

before(async () => {
  images = mkdtempSync(join(tmpdir(), 'bantam-images-'));
  await writeImages(images, 4);
  data = `folder:${images}`;
});
after(() => {
  rmSync(images, { recursive: true, force: true });
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bantam-train-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Twelve steps of eight samples, six epochs of two. */
function options(name: string, { train, ...changes }: Partial<TrainOptions> = {}): TrainOptions {
  return {
    model: tiny,
    data,
    out: join(folder, name),
    budget: '96samples',
    train: { batchSize: 8, workers: 0, precision: 'fp32', ema: 0.9, ...train },
    tokenizer: { vocabSize: 600, contextLength: 16 },
    ...changes,
  };
}

/** Trains, interrupted after a step, and resumes. */
async function trainInHalves(
  name: string,
  changes: Partial<TrainOptions>,
  stop: number,
): Promise<TrainResult> {
  const controller = new AbortController();
  const onEvent = (event: TrainEvent): void => {
    if (event.kind === 'step' && event.step === stop) controller.abort();
  };
  const first = await train(options(name, { ...changes, signal: controller.signal, onEvent }));
  assert.deepEqual([first.interrupted, first.steps, first.model], [true, stop, undefined]);
  return resumeTraining(join(folder, name));
}

function weights(run: string): Buffer {
  return readFileSync(join(folder, run, 'model', 'open_clip_model.safetensors'));
}

function rows(run: string): MetricsRow[] {
  return readMetrics(join(folder, run));
}

describe('train', () => {
  it('uses its budget, and leaves a row of metrics for each step', async () => {
    const events: TrainEvent[] = [];
    const result = await train(options('run', { onEvent: (event) => events.push(event) }));
    assert.deepEqual([result.steps, result.samples, result.interrupted], [12, 96, false]);
    assert.deepEqual(
      rows('run').map(({ step, samples }) => [step, samples]),
      Array.from({ length: 12 }, (_, i) => [i + 1, 8 * (i + 1)]),
    );
    assert.ok(rows('run').every(({ loss, gradNorm }) => loss > 0 && gradNorm > 0));
    assert.equal(events.filter(({ kind }) => kind === 'step').length, 12);
    assert.ok(events[0]?.kind === 'start' && events[0].isUniform);
  });

  it('leaves its whole configuration', async () => {
    await train(options('run', { seed: 3, strategy: { type: 'flip', maskRatio: 0.25 } }));
    const config = readRunConfig(join(folder, 'run'));
    const { batchSize, ema, lr, schedule } = config.train;
    assert.deepEqual({ batchSize, ema, lr, schedule }, { batchSize: 8, ema: 0.9, lr: 1e-3, schedule: 'cosine' }); // prettier-ignore
    assert.ok(config.strategy.type === 'flip');
    assert.deepEqual([config.strategy.maskRatio, config.strategy.tuneFraction], [0.25, 0.1]);
    assert.deepEqual([config.data, config.budget, config.seed], [data, '96samples', 3]);
    assert.equal(config.tokenizer.contextLength, 16);
    assert.equal(config.model.embedDim, 16);
    assert.ok(config.augment.length > 0, "the source's own augmentation");
  });

  it('leaves a model of the averaged weights that loads and encodes', async () => {
    const { model: path = '' } = await train(options('run'));
    const loaded = await loadModel(path);
    using model = loaded.model;
    const { vocabSize } = loaded.tokenizer;
    const { text, vision } = readRunConfig(join(folder, 'run')).model;
    assert.deepEqual(loaded.config.vision, vision);
    assert.deepEqual([text.vocabSize, loaded.config.text.vocabSize], [vocabSize, vocabSize]);
    assert.deepEqual([loaded.info.steps, loaded.info.samplesSeen], [12, 96]);
    const checkpoint = join(folder, 'run', 'checkpoints', 'step-00000012', 'ema.safetensors');
    const { tensors: ema } = loadSafetensors(checkpoint);
    const state = model.stateDict();
    assert.deepEqual([...ema.keys()].sort(), [...state.keys()].sort());
    for (const [name, tensor] of ema) {
      assert.deepEqual(tensor.toTypedArray(), state.get(name)?.toTypedArray(), name);
      tensor.dispose();
    }
  });

  it('gives the same weights again, and the same when interrupted and resumed', async () => {
    await train(options('whole'));
    await train(options('again'));
    assert.deepEqual(weights('again'), weights('whole'));
    const resumed = await trainInHalves('halves', {}, 5);
    assert.equal(resumed.steps, 12);
    assert.deepEqual(weights('halves'), weights('whole'));
    const losses = (run: string) => rows(run).map(({ step, loss }) => [step, loss]);
    assert.deepEqual(losses('halves'), losses('whole'));
  });

  it('drops patches by the random stream for masks, in resumed runs too', async () => {
    const model = { ...tiny, vision: { ...tiny.vision, patchDropout: 0.5 } };
    await train(options('plain'));
    await train(options('masked', { model }));
    await trainInHalves('halves', { model }, 7);
    assert.deepEqual(weights('halves'), weights('masked'));
    assert.notDeepEqual(weights('masked'), weights('plain'));
  });

  for (const optimizer of ['adafactor', 'lion'] as const) {
    it(`resumes ${optimizer} with decay by layer and a frozen tower`, async () => {
      const settings = { optimizer, layerDecay: 0.5, freeze: ['visual'], ema: 0 };
      const groups: string[] = [];
      const uniform: boolean[] = [];
      const whole = await train(
        options('whole', {
          train: settings,
          onEvent: (event) => {
            if (event.kind !== 'start') return;
            groups.push(event.groups);
            uniform.push(event.isUniform);
          },
        }),
      );
      assert.match(groups.join(), /learning rate × 0\.25\n[^]*frozen: \d+ tensors/);
      assert.deepEqual(uniform, [false]);
      await trainInHalves('halves', { train: settings }, 5);
      assert.deepEqual(weights('halves'), weights('whole'));
      assert.equal(whole.steps, 12);
    });
  }

  it('ends on a budget of FLOPs, too', async () => {
    const result = await train(options('run', { budget: '1e8flops' }));
    assert.ok(result.steps > 1);
    const [last] = rows('run').slice(-1);
    assert.ok(last !== undefined && last.lr < 1e-3);
  });

  it('refuses a folder with a run, and a budget of nothing', async () => {
    await train(options('run', { budget: '8samples' }));
    await assert.rejects(train(options('run')), UsageError);
    await assert.rejects(train(options('none', { budget: '0' })), UsageError);
    assert.equal(existsSync(join(folder, 'none')), false);
  });

  it('prepares images of the size that the model has', async () => {
    const model = modelConfig('ViT-Pico-8-64', {
      ...tiny,
      vision: { ...tiny.vision, imageSize: 24 },
    });
    const augment = [{ op: 'flip' }] as const;
    const { run } = await train(options('run', { model, budget: '8samples', augment }));
    const config = readRunConfig(run);
    assert.equal(config.preprocess.size, 24);
    assert.deepEqual(config.augment, [{ op: 'flip', p: 0.5 }]);
  });

  it('leaves neither tensors nor memory behind over 500 steps', async () => {
    let early = { tensors: 0, bytes: 0, resident: 0 };
    let late = early;
    const measure = (): typeof early => {
      globalThis.gc?.();
      const { liveTensors, liveBytes } = memoryStats();
      // V8 enlarges the heap of the test itself now and then.
      const { rss, heapTotal } = process.memoryUsage();
      return { tensors: liveTensors, bytes: liveBytes, resident: rss - heapTotal };
    };
    await train(
      options('run', {
        budget: '4000samples',
        onEvent: (event) => {
          if (event.kind !== 'step') return;
          if (event.step === 100) early = measure();
          if (event.step === 500) late = measure();
        },
      }),
    );
    assert.equal(late.tensors, early.tensors);
    assert.equal(late.bytes, early.bytes);
    assert.ok(late.resident < early.resident + 2 ** 24, `${late.resident - early.resident} bytes`);
    emptyCache();
  });

  it('leaves no tensors behind when it is done or refused', async () => {
    const before = memoryStats().liveTensors;
    await train(options('run', { budget: '8samples' }));
    assert.equal(memoryStats().liveTensors, before);
    await assert.rejects(train(options('none', { strategy: 'lit' })));
    assert.equal(memoryStats().liveTensors, before);
  });
});
