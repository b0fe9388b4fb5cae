import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { liveTensors } from '@bantam/torch';
import { evalDatasets } from './datasets.js';
import { evaluate } from './evaluate.js';
import type { EvaluationResult } from './tasks/result.js';
import { formatTable, metricTables } from './tables.js';
import { tinyModel, writeImages } from '../test-support/tiny-model.js';

const directory = mkdtempSync(join(tmpdir(), 'bantam-evaluate-'));
const images = join(directory, 'images');
const table = join(directory, 'pairs.csv');
const loaded = tinyModel();

before(async () => {
  await writeImages(images, {
    cat: ['red', 'blue', '#123'],
    dog: ['lime', 'gold'],
  });
  writeFileSync(table, 'image,caption\nimages/cat/0.png,one\nimages/dog/1.png,two\n');
});

after(() => {
  rmSync(directory, { recursive: true });
});

describe('evaluate', () => {
  it('measures every task that applies, embeds once, and leaves no tensors behind', async () => {
    const start = liveTensors();
    const stages: string[] = [];
    const embedded: string[] = [];
    const results = await evaluate(loaded, [`folder:${images}`, `csv:${table}`], {
      onProgress: ({ dataset, stage }) => stages.push(`${dataset.split(':')[0] ?? ''} ${stage}`),
      onEmbedded: ({ dataset, embeddings }) => {
        embedded.push(dataset.spec);
        assert.ok(!embeddings.image.isDisposed);
      },
    });
    assert.equal(liveTensors(), start);
    assert.deepEqual(stages, ['folder images', 'folder texts', 'csv images', 'csv texts']);
    assert.deepEqual(embedded, [`folder:${images}`, `csv:${table}`]);
    assert.deepEqual(JSON.parse(JSON.stringify(results)), results);
    assert.deepEqual(
      results.map(({ task, labels, samples, classes, captions }) => [
        task,
        labels,
        samples,
        classes,
        captions,
      ]),
      [
        ['zero-shot', 'label', 5, 2, undefined],
        ['retrieval', undefined, 5, undefined, 2],
        ['retrieval', undefined, 2, undefined, 2],
      ],
    );
    const [zeroShot, retrieval] = results;
    assert.equal(zeroShot?.chance.acc1, 0.5);
    assert.equal(zeroShot.majority, 0.6);
    assert.equal(zeroShot.metrics.acc5, null);
    const errors = (zeroShot.confusions ?? []).flatMap(({ examples }) => examples);
    assert.ok(Math.abs((zeroShot.metrics.acc1 ?? 0) - (1 - errors.length / 5)) < 1e-12);
    for (const key of errors) assert.match(key, /^(cat|dog)\/\d\.png$/);
    assert.equal(retrieval?.chance['text_retrieval_recall@1'], 0.5);
  });

  it('takes other prompts', async () => {
    loaded.tokenizer.batches.length = 0;
    const tasks = ['zero-shot'] as const;
    await evaluate(loaded, [`folder:${images}`], { tasks, templates: ['{} in snow', 'my {}'] });
    const prompts = loaded.tokenizer.batches.at(-1) ?? [];
    assert.deepEqual([...prompts].sort(), ['cat in snow', 'dog in snow', 'my cat', 'my dog']);
  });

  it('refuses unknown tasks, and zero-shot if nothing has a class', async () => {
    const tasks = ['retrival'] as unknown as ['retrieval'];
    await assert.rejects(evaluate(loaded, [`csv:${table}`], { tasks }), /mean "retrieval"/);
    const zeroShot = { tasks: ['zero-shot'] as const };
    await assert.rejects(evaluate(loaded, [`csv:${table}`], zeroShot), /has no classes/);
  });

  it('refuses retrieval without captions, and names what is missing', async () => {
    const spec = `images:${images}?caption=none`;
    const message = /has no captions for retrieval; give it captions, or labels/;
    await assert.rejects(evaluate(loaded, [spec]), message);
    await assert.rejects(evaluate(loaded, [spec], { tasks: ['retrieval'] }), message);
  });
});

describe('evalDatasets', () => {
  it('takes "emoji" for its styles and held-out concepts, out-of-distribution styles last', () => {
    const datasets = evalDatasets('emoji');
    const kinds = datasets.map(({ kind }) => kind);
    assert.deepEqual(kinds.slice(-3), [
      'held-out classes',
      'out-of-distribution',
      'out-of-distribution',
    ]);
    assert.deepEqual(new Set(kinds.slice(0, -3)), new Set(['in-distribution']));
    for (const { spec } of datasets) assert.match(spec, /skin=default/);
  });

  it('takes anything else unchanged', () => {
    const spec = 'emoji?style=noto';
    assert.deepEqual(evalDatasets(spec), [{ name: spec, spec }]);
  });
});

describe('formatTable', () => {
  const common = { spec: 's', quarantined: 0 };
  const results: EvaluationResult[] = [
    {
      ...common,
      dataset: 'noto',
      task: 'zero-shot',
      samples: 1906,
      labels: 'group',
      classes: 4,
      majority: 0.3,
      metrics: { acc1: 0.5, acc5: null, mean_per_class_recall: 0.0123 },
      chance: { acc1: 0.25, acc5: null, mean_per_class_recall: 0.25 },
    },
    {
      ...common,
      dataset: 'held-out concepts',
      task: 'retrieval',
      samples: 90,
      captions: 90,
      metrics: { 'image_retrieval_recall@1': 1, image_retrieval_median_rank: 12 },
      chance: { 'image_retrieval_recall@1': 1 / 90, image_retrieval_median_rank: 45 },
    },
  ];

  it('aligns values and puts chance beside each', () => {
    const [zeroShot = '', images = ''] = formatTable(results).split('\n\n');
    assert.equal(
      zeroShot,
      [
        'Zero-shot classification: group (4 classes)',
        '      images   top-1  chance  top-5  chance  per class  chance',
        'noto    1906  50.0 %  25.0 %      –       –      1.2 %  25.0 %',
        'Always answering with the commonest class is right in up to 30.0 % (top-1).',
      ].join('\n'),
    );
    const lines = images.split('\n');
    assert.match(lines[2] ?? '', /^held-out concepts {6}90 {2}100\.0 % {3}1\.1 % .* 12 {6}45$/);
    assert.equal(lines[1]?.length, lines[2]?.length);
  });

  it('leaves out tables without rows', () => {
    assert.deepEqual(metricTables([]), []);
    assert.equal(metricTables(results).length, 3);
  });
});
