import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BantamError, UsageError } from '../base/errors.js';
import { evaluate } from './evaluate.js';
import { plainTasks } from './tasks/result.js';
import { tinyModel, writeImages } from '../test-support/tiny-model.js';
import { openValidator, taskMetrics } from './validator.js';

const multiLabel = `wds:${fileURLToPath(new URL('../../fixtures/data/wds_voc2007_multilabel', import.meta.url))}`;

let folder = '';
let data = '';
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bantam-validator-'));
  const colors = {
    red: ['#d22', '#a11'],
    green: ['#2a2'],
    blue: ['#22d'],
    gray: ['#888', '#222'],
  };
  await writeImages(folder, colors);
  data = `folder:${folder}`;
  writeFileSync(join(folder, 'pairs.csv'), 'image,caption\nred/0.png,a red\nblue/0.png,a blue\n');
});
after(() => {
  rmSync(folder, { recursive: true });
});

const options = { precision: 'float32', onProgress: () => undefined } as const;

describe('openValidator', () => {
  it('knows the metrics of evaluation, each of them', async () => {
    const results = await evaluate(tinyModel(), [data]);
    const several = await evaluate(tinyModel(), [multiLabel], { tasks: ['zero-shot'] });
    assert.deepEqual(
      plainTasks.map((task) => [
        task,
        [...results, ...several].flatMap((result) =>
          result.task === task ? Object.keys(result.metrics) : [],
        ),
      ]),
      plainTasks.map((task) => [task, taskMetrics[task]]),
    );
  });

  it('measures what evaluation does', async () => {
    const model = tinyModel();
    const metrics = Object.assign({}, ...(await evaluate(model, [data])).map((one) => one.metrics)) as Record<string, number>; // prettier-ignore
    const said: string[] = [];
    for (const metric of ['acc1', 'image_retrieval_recall@1', 'text_retrieval_median_rank']) {
      const validator = await openValidator({ data, metric });
      const onProgress = (message: string): void => void said.push(message);
      assert.equal(
        await validator.measure(model, { ...options, onProgress }),
        metrics[metric],
        metric,
      );
      assert.equal(validator.lowerIsBetter, metric.includes('rank'), metric);
    }
    assert.ok(said.includes(`${data}: 6 of 6 images`), said.join());
  });

  it('names what is wrong before anything is trained', async () => {
    const refused = async (metric: string, of: string, kind: object, message: RegExp) => {
      await assert.rejects(openValidator({ data: of, metric }), (error) => {
        assert.ok(error instanceof BantamError && error.constructor === kind, String(error));
        assert.match(error.message, message);
        return true;
      });
    };
    const csv = `csv:${join(folder, 'pairs.csv')}`;
    await refused('acc2', data, UsageError, /no metric "acc2" \(did you mean "acc1"\?\); the metrics are acc1, .*mean_recall@1\.$/); // prettier-ignore
    await refused('acc5', data, BantamError, /has fewer than five classes, so "acc5" cannot/);
    await refused('acc1', csv, BantamError, /has no classes, so "acc1" cannot be measured on it/);
    await refused('acc1', 'folder:nowhere', BantamError, /nowhere/);
  });
});
