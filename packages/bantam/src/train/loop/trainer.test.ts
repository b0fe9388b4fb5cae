import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { TrainInput } from '../config/settings.js';
import { resolveConfig } from '../config/resolve.js';
import { fixedLengthTokenizer, noiseBatch, repeated } from '../planning/index.js';
import type { MetricsRow } from '../run-dir/metrics.js';
import { createStrategy } from '../strategies/index.js';
import { maskless } from '../../test-support/strategy-bench.js';
import { microBatchSize } from './micro-batch.js';
import { Trainer, type BatchStream } from './trainer.js';

/** A batch of eight, or a micro-batch of it. */
const noise = (size: number) => noiseBatch({ size, imageSize: maskless.vision.imageSize });

function createTrainer(train: TrainInput, stream?: BatchStream): Trainer {
  const config = resolveConfig({
    model: maskless,
    data: 'noise',
    budget: '96samples',
    train: { batchSize: 8, precision: 'fp32', schedule: 'constant', warmup: 0, ...train },
  });
  const strategy = createStrategy(config, { samples: 8 });
  const tokenizer = fixedLengthTokenizer(config.model, 6);
  const batches = stream ?? repeated(noise(microBatchSize(config.train)));
  return new Trainer({ config, strategy, tokenizer }, batches);
}

/** The metrics of a training's first step. */
async function firstStep(train: TrainInput): Promise<MetricsRow> {
  using trainer = createTrainer(train);
  const { value } = await trainer.run().next();
  assert.ok(value?.kind === 'step');
  return value.row;
}

describe('Trainer', () => {
  for (const microBatch of [0, 4]) {
    it(`averages gradients over accumulated batches, micro-batches of ${microBatch || 8}`, async () => {
      // The same batch three times has the loss and the gradient of the batch. AdamW's step hardly
      // depends on the scale of the gradient: its norm tells a mean from a sum.
      const settings = { microBatch, clipNorm: 0 };
      const [one, three] = [
        await firstStep({ ...settings, accumulate: 1 }),
        await firstStep({ ...settings, accumulate: 3 }),
      ];
      assert.deepEqual([one.samples, three.samples], [8, 24]);
      assert.ok(Math.abs(three.loss - one.loss) < 1e-5, `${three.loss}`);
      const ratio = three.gradNorm / one.gradNorm;
      assert.ok(
        Math.abs(ratio - 1) < 1e-4,
        `the gradient's norm is ${ratio} times that of a batch`,
      );
    });
  }

  it('counts the time of its steps, not that of its consumer between them', async (context) => {
    let now = 0;
    const batch = noise(8);
    context.mock.method(performance, 'now', () => now);
    const stream: BatchStream = {
      waitSeconds: 0,
      async *batches() {
        for (;;) {
          // A step takes a second.
          now += 1000;
          yield await Promise.resolve(batch);
        }
      },
    };
    using trainer = createTrainer({}, stream);
    const seconds: number[] = [];
    for await (const report of trainer.run()) {
      assert.ok(report.kind === 'step');
      seconds.push(report.row.seconds);
      now += 60_000;
    }
    assert.deepEqual(
      seconds,
      Array.from({ length: 12 }, (_, i) => i + 1),
    );
    assert.equal(trainer.spent.seconds, 12);
  });
});
