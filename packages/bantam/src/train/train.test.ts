import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { emptyCache, loadSafetensors, memoryStats } from '@bantam/torch';
import { BantamError, UsageError } from '../base/errors.js';
import { modelConfig, type ModelConfig } from '../models/index.js';
import type { TrainEvent } from './monitor/events.js';
import { readMetrics } from './run-dir/metrics.js';
import { writePictures } from '../test-support/image-folders.js';
import { readRunConfig } from './run-dir/paths.js';
import { resumeTraining, train, type TrainOptions } from './train.js';

const tiny: ModelConfig = modelConfig('ViT-Pico-8-64', {
  embedDim: 16,
  vision: { imageSize: 16, patchSize: 8, width: 16, headWidth: 8, layers: 2 },
  text: { width: 16, heads: 2, layers: 2 },
});

let folder = '';
let data = '';

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bantam-train-'));
  await writePictures(join(folder, 'pictures'), 4);
  data = `folder:${join(folder, 'pictures')}`;
});
after(() => {
  rmSync(folder, { recursive: true, force: true });
});

function options(name: string, changes: Partial<TrainOptions> = {}): TrainOptions {
  const { settings, ...rest } = changes;
  return {
    model: tiny,
    data,
    out: join(folder, name),
    budget: '96samples',
    settings: {
      batchSize: 8,
      workers: 0,
      precision: 'fp32',
      ema: 0.9,
      'tokenizer.vocabSize': '600',
      'tokenizer.contextLength': '16',
      ...settings,
    },
    ...rest,
  };
}

function weights(run: string): Buffer {
  return readFileSync(join(folder, run, 'model', 'open_clip_model.safetensors'));
}

describe('train', () => {
  it('uses its budget and leaves metrics, configuration and a model', async () => {
    const events: TrainEvent[] = [];
    const result = await train(options('whole', { onEvent: (event) => events.push(event) }));
    assert.equal(result.steps, 12);
    assert.equal(result.samples, 96);
    assert.equal(result.interrupted, false);
    const rows = readMetrics(result.run);
    assert.deepEqual(
      rows.map(({ step }) => step),
      Array.from({ length: 12 }, (_, i) => i + 1),
    );
    assert.ok(rows.every(({ loss, gradNorm }) => loss > 0 && gradNorm > 0));
    assert.equal(events.filter(({ kind }) => kind === 'step').length, 12);
    assert.equal(events[0]?.kind, 'start');
  });

  it('gives the same weights again, and the same when interrupted and resumed', async () => {
    await train(options('again'));
    assert.deepEqual(weights('again'), weights('whole'));

    const stop = new AbortController();
    const interrupted = await train(
      options('halves', {
        signal: stop.signal,
        onEvent: (event) => {
          if (event.kind === 'step' && event.step === 5) stop.abort();
        },
      }),
    );
    assert.equal(interrupted.interrupted, true);
    assert.equal(interrupted.model, undefined);
    const resumed = await resumeTraining(join(folder, 'halves'));
    assert.equal(resumed.steps, 12);
    assert.deepEqual(weights('halves'), weights('whole'));
    assert.deepEqual(
      readMetrics(join(folder, 'halves')).map(({ step, loss }) => [step, loss]),
      readMetrics(join(folder, 'whole')).map(({ step, loss }) => [step, loss]),
    );
  });

  it('does not count as training time what its consumer does between steps', async () => {
    let [began, ended, consumed] = [0, 0, 0];
    const { seconds } = await train(
      options('slow-consumer', {
        onEvent: ({ kind }) => {
          const start = performance.now();
          if (kind === 'start') began = start;
          if (kind !== 'step') return;
          while (performance.now() < start + 20);
          ended = performance.now();
          consumed += ended - start;
        },
      }),
    );
    assert.ok(1000 * seconds + consumed < ended - began, `${seconds} s`);
  });

  it('averages gradients over accumulated batches', async () => {
    const result = await train(options('accumulated', { train: { accumulate: 3 } }));
    assert.equal(result.steps, 4);
    assert.equal(result.samples, 96);
  });

  it('leaves out patches by the random stream for masks, resumed runs too', async () => {
    const model = { ...tiny, vision: { ...tiny.vision, patchDropout: 0.5 } };
    await train(options('masked', { model }));
    const stop = new AbortController();
    const onEvent = (event: TrainEvent): void => {
      if (event.kind === 'step' && event.step === 7) stop.abort();
    };
    await train(options('masked-halves', { model, signal: stop.signal, onEvent }));
    await resumeTraining(join(folder, 'masked-halves'));
    assert.deepEqual(weights('masked-halves'), weights('masked'));
    assert.notDeepEqual(weights('masked'), weights('whole'));
  });

  for (const optimizer of ['adafactor', 'lion']) {
    it(`resumes ${optimizer} with decay by layer and a frozen tower`, async () => {
      const settings = {
        'train.optimizer': optimizer,
        layerDecay: 0.5,
        freeze: ['visual'],
        ema: 0,
      };
      const groups: string[] = [];
      const whole = await train(
        options(optimizer, {
          settings,
          onEvent: (event) => {
            if (event.kind === 'start') groups.push(event.groups);
          },
        }),
      );
      assert.match(groups.join(), /learning rate × 0\.25\n[^]*frozen: \d+ tensors/);
      const stop = new AbortController();
      const onEvent = (event: TrainEvent): void => {
        if (event.kind === 'step' && event.step === 5) stop.abort();
      };
      const halves = `${optimizer}-halves`;
      await train(options(halves, { settings, signal: stop.signal, onEvent }));
      await resumeTraining(join(folder, halves));
      assert.deepEqual(weights(halves), weights(optimizer));
      assert.equal(whole.steps, 12);
    });
  }

  it('ends on a budget of operations too', async () => {
    const result = await train(options('flops', { budget: '1e8flops' }));
    assert.ok(result.steps > 1);
    assert.ok(readMetrics(result.run).at(-1)?.lr !== undefined);
  });

  it('refuses a folder with a run, a budget of nothing, and an unknown strategy', async () => {
    await assert.rejects(train(options('whole')), UsageError);
    await assert.rejects(train(options('none', { budget: '0' })), UsageError);
    await assert.rejects(train(options('none', { strategy: 'clipp' })), /did you mean "clip"/);
  });

  it('begins no run with settings that do not hold together', async () => {
    for (const [setting, value] of [
      ['augment', '[{"op":"flipp"}]'],
      ['model.vision.patchSize', '7'],
    ] as const) {
      const refused = train(options('refused', { settings: { [setting]: value } }));
      await assert.rejects(refused, BantamError, setting);
    }
    assert.equal(existsSync(join(folder, 'refused')), false);
  });

  it('keeps the whole configuration, and prepares pictures of the size that is set', async () => {
    const settings = { 'model.vision.imageSize': '24', augment: '[{"op":"flip"}]' };
    const { run } = await train(options('sized', { budget: '8samples', settings }));
    const { augment, preprocess } = readRunConfig(run);
    assert.equal(preprocess.size, 24);
    assert.deepEqual(augment, [{ op: 'flip', p: 0.5 }]);
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
      options('long', {
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

  it('writes checkpoints that hold what training needs, and nothing else', () => {
    const { tensors } = loadSafetensors(
      join(folder, 'whole', 'checkpoints', 'step-00000012', 'ema.safetensors'),
    );
    assert.ok(tensors.has('visual.conv1.weight'));
    for (const tensor of tensors.values()) tensor.dispose();
  });
});
