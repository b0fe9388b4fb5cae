import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { schedule } from '@bantam/torch';
import { Loader, openSource } from '../../data/index.js';
import { readMetrics } from '../run-dir/metrics.js';
import { masked } from '../../test-support/strategy-bench.js';
import { resolveConfig } from '../config/resolve.js';
import { Trainer, type BatchStream } from '../loop/trainer.js';
import { fixedLengthTokenizer, noiseBatch } from '../planning/index.js';
import { createStrategy } from './index.js';
import { onePhase, phaseAt, reducedThenFull } from './phases.js';
import { TinyRuns } from '../../test-support/tiny-runs.js';

const runs = new TinyRuns();
before(() => runs.make());
after(() => {
  runs.remove();
});

describe('phaseAt', () => {
  const phases = reducedThenFull({ patchDropout: 0.5 }, { tuneFraction: 0.25, tuneLr: 0.1 });

  it('is the next phase exactly where one ends', () => {
    assert.deepEqual(
      [0, 0.74, 0.75, 0.99, 1].map((progress) => phaseAt(phases, progress).phase.name),
      ['reduced', 'reduced', 'tuning', 'tuning', 'tuning'],
    );
    assert.deepEqual(phaseAt(phases, 0.9), { phase: phases[1], start: 0.75, end: 1 });
  });

  it('has one phase without tuning', () => {
    assert.equal(reducedThenFull({}, { tuneFraction: 0, tuneLr: 1 }).length, 1);
    assert.deepEqual(phaseAt([onePhase], 0.5), { phase: onePhase, start: 0, end: 1 });
  });

  it('tunes with all patches, even if the model itself drops some', () => {
    assert.equal(phases[1]?.patchDropout, 0);
    const resized = reducedThenFull({ imageSize: 8 }, { tuneFraction: 0.5, tuneLr: 1 });
    assert.equal(resized[1]?.patchDropout, null);
    assert.equal(resized[1].imageSize, null);
  });
});

describe('a training in phases', () => {
  const strategy = {
    type: 'clipa',
    textLength: 5,
    tuneFraction: 0.25,
    tuneLr: 0.2,
  } as const;

  it('has a whole schedule in each phase', async () => {
    const { run } = await runs.train('schedule', {
      strategy,
      budget: '320samples',
      train: { lr: 0.01, warmup: 0.2 },
    });
    const expected = [
      { peak: 0.01, total: 30 },
      { peak: 0.002, total: 10 },
    ].flatMap(({ peak, total }) => {
      const factor = schedule({ kind: 'cosine', total, warmup: 0.2 * total });
      return Array.from({ length: total }, (_, step) => peak * factor(step));
    });
    const rates = readMetrics(run).map(({ lr }) => lr);
    assert.equal(rates.length, 40);
    for (const [step, lr] of rates.entries()) {
      assert.ok(Math.abs(lr - (expected[step] ?? NaN)) < 1e-12, `step ${step + 1}: ${lr}`);
    }
    assert.ok((rates[30] ?? 0) < (rates[31] ?? 0), 'the tuning warms up');
  });

  it('changes phase at its fraction of a budget of FLOPs', async () => {
    // FLOPs per sample differ between the phases: the budget is used unevenly.
    const train = { warmup: 0 };
    const { run } = await runs.train('flops', { strategy, budget: '1e8flops', train });
    const rates = readMetrics(run).map(({ lr }) => lr);
    const restart = rates.findIndex((lr, i) => lr > (rates[i - 1] ?? Infinity));
    const tuning = rates.length - restart;
    assert.ok(restart > 0 && tuning > 0);
    // A quarter of the FLOPs buys less than a quarter of the steps, at full length.
    assert.ok(tuning < 0.25 * rates.length, `${tuning} of ${rates.length}`);
  });

  it('changes phase at its fraction of a budget of time', async (context) => {
    let now = 0;
    context.mock.method(performance, 'now', () => now);
    const config = resolveConfig({
      model: masked,
      data: 'noise',
      budget: '1s',
      strategy: { type: 'flip', tuneFraction: 0.25, tuneLr: 0.2 },
      train: { batchSize: 4, precision: 'fp32', schedule: 'constant', warmup: 0 },
    });
    const batch = noiseBatch({ size: 4, imageSize: masked.vision.imageSize });
    const batches: BatchStream = {
      waitSeconds: 0,
      async *batches() {
        for (;;) {
          // A step takes a sixteenth of the budget.
          now += 62.5;
          yield await Promise.resolve(batch);
        }
      },
    };
    const strategy = createStrategy(config, { samples: 4 });
    const tokenizer = fixedLengthTokenizer(config.model, 6);
    using trainer = new Trainer({ config, strategy, tokenizer }, batches);
    const rates: number[] = [];
    for await (const report of trainer.run()) {
      assert.ok(report.kind === 'step');
      rates.push(report.row.lr);
    }
    const expected = Array.from({ length: 16 }, (_, i) => (i < 12 ? 1e-3 : 0.2 * 1e-3));
    assert.deepEqual(rates.map((lr) => Number(lr.toPrecision(9))), expected); // prettier-ignore
  });

  it('switches the size of prefetched images without losing a sample', async () => {
    const source = await openSource(runs.options('').data);
    const settings = { batchSize: 4, views: { image: [] }, size: 16, seed: 1 };
    const take = async (workers: number): Promise<unknown[]> => {
      const loader = new Loader(source, { ...settings, workers, prefetch: 5 });
      const seen: unknown[] = [];
      let next = { epoch: 0, position: 0 };
      for (const size of [8, 16, 12]) {
        let left = 3;
        for await (const batch of loader.batches(next, { size })) {
          const { indices, width, images } = batch;
          assert.equal(width, size);
          assert.equal(images.image?.length, 4 * size * size * 3);
          seen.push([...indices], Buffer.from(images.image).toString('base64'));
          next = batch.next;
          if (--left === 0) break;
        }
      }
      await loader.close();
      return seen;
    };
    const alone = await take(0);
    assert.deepEqual(await take(1), alone);
    assert.deepEqual(await take(2), alone);
    const visited = alone.filter((item) => Array.isArray(item)).flat();
    assert.equal(new Set(visited.slice(0, 20)).size, 20, 'the first epoch has every sample once');
  });
});
