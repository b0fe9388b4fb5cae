import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { schedule } from '@bantam/torch';
import { Loader, openSource } from '../../data/index.js';
import { readMetrics } from '../run-dir/metrics.js';
import { onePhase, phaseAt, reducedThenFull } from './phases.js';
import { TinyRuns } from '../../test-support/tiny-runs.js';

const runs = new TinyRuns();
before(() => runs.make());
after(() => {
  runs.remove();
});

describe('phaseAt', () => {
  const phases = reducedThenFull({ patchDropout: 0.5 }, { tuneFraction: 0.25, tuneLr: 0.1 });

  it('gives way to the next phase exactly where one is over', () => {
    assert.deepEqual(
      [0, 0.74, 0.75, 0.99, 1].map((progress) => phaseAt(phases, progress).phase.name),
      ['reduced', 'reduced', 'tuning', 'tuning', 'tuning'],
    );
    assert.deepEqual(phaseAt(phases, 0.9), { phase: phases[1], start: 0.75, end: 1 });
  });

  it('has one phase where there is no tuning', () => {
    assert.equal(reducedThenFull({}, { tuneFraction: 0, tuneLr: 1 }).length, 1);
    assert.deepEqual(phaseAt([onePhase], 0.5), { phase: onePhase, start: 0, end: 1 });
  });

  it('tunes with all patches, also where the model itself leaves some out', () => {
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

  it('changes where operations say so', async () => {
    // Operations per sample tell the phases apart: the budget is used unevenly.
    const train = { warmup: 0 };
    const { run } = await runs.train('flops', { strategy, budget: '1e8flops', train });
    const rates = readMetrics(run).map(({ lr }) => lr);
    const restart = rates.findIndex((lr, i) => lr > (rates[i - 1] ?? Infinity));
    const tuning = rates.length - restart;
    assert.ok(restart > 0 && tuning > 0);
    // A quarter of the operations buys less than a quarter of the steps, at full length.
    assert.ok(tuning < 0.25 * rates.length, `${tuning} of ${rates.length}`);
  });

  it('changes where time says so', async () => {
    const { run, seconds } = await runs.train('time', { strategy, budget: '1s' });
    assert.ok(seconds >= 1);
    const rows = readMetrics(run);
    const restart = rows.findIndex(({ seconds }) => seconds >= 0.75);
    assert.ok(restart > 0 && restart + 1 < rows.length);
    // The row after the one that used up the first phase is the first of the tuning.
    assert.ok((rows[restart + 1]?.lr ?? 1) <= 0.2 * 1e-3);
    const peak = Math.max(...rows.slice(restart + 1).map(({ lr }) => lr));
    assert.ok(peak <= 0.2 * 1e-3 && peak > 0.1 * 1e-3, `${peak}`);
  });

  it('switches the size of prefetched pictures without losing a sample', async () => {
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
