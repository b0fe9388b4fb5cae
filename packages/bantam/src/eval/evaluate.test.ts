import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { liveTensors } from '@bantam/torch';
import { evalDatasets } from './datasets.js';
import { evaluate } from './evaluate.js';
import type { EvaluationResult } from './tasks/result.js';
import { formatTable } from './format-tables.js';
import { metricTables } from './tables.js';
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

  it('tries the default shots that the smallest class allows, and says which it leaves out', async () => {
    const shades = (hue: number, count: number): string[] =>
      Array.from({ length: count }, (_, i) => `hsl(${hue}, 80%, ${20 + 5 * i}%)`);
    const few = join(directory, 'few');
    await writeImages(few, { red: shades(0, 12), blue: shades(240, 9) });
    const results = await evaluate(loaded, [`folder:${few}`], { tasks: ['few-shot'] });
    assert.deepEqual(Object.keys(results[0]?.metrics ?? {}), ['few_shot@1', 'few_shot@5']);
    const note = /10 and 25 shots are left out: the class "blue" has 7\straining images\./;
    assert.match(formatTable(results), note);
    const stages: string[] = [];
    const asked = evaluate(loaded, [`folder:${few}`], {
      tasks: ['few-shot'],
      probe: { shots: [1, 8] },
      onProgress: ({ stage }) => stages.push(stage),
    });
    const message =
      /class "blue" has 7 training images, fewer than 8 shots; ask for at most 7 \(--shots 1,5\) or add images/;
    await assert.rejects(asked, message);
    const all = evaluate(loaded, [{ name: 'few', spec: `folder:${few}`, train: `folder:${few}` }], {
      tasks: ['few-shot'],
      probe: { shots: [10] },
      onProgress: ({ stage }) => stages.push(stage),
    });
    await assert.rejects(all, /"blue" has 9 training images, fewer than 10 shots/);
    assert.deepEqual(stages, [], 'nothing was embedded');
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
        '        images   top-1  top-5  per class',
        'noto      1906  50.0 %      –      1.2 %',
        'chance          25.0 %      –     25.0 %',
        'Always answering with the commonest class is right in up to 30.0 % (top-1).',
      ].join('\n'),
    );
    const lines = images.split('\n');
    assert.match(lines[2] ?? '', /^held-out concepts {6}90 {2}100\.0 % {4}– {5}– {11}12$/);
    assert.match(lines[3] ?? '', /^chance {23}1\.1 % {4}– {5}– {11}45$/);
  });

  it('fits 80 columns with intervals, many columns and long names', () => {
    const shots = [1, 2, 5, 10, 25, 50, 100].map((count) => [
      `few_shot@${count}`,
      0.2 + count / 200,
    ]);
    const metrics = Object.fromEntries(shots) as Record<string, number>;
    const intervals = Object.fromEntries(
      shots.map(([metric = '', value]) => [metric, [Number(value) - 0.1, Number(value) + 0.1]]),
    ) as Record<string, readonly [number, number]>;
    const named = (dataset: string, chance: number): EvaluationResult => ({
      ...common,
      ...{ dataset, task: 'few-shot', samples: 12345, labels: 'label', classes: 10 },
      ...{ metrics, intervals, chance: { 'few_shot@1': chance } },
    });
    const long = 'csv:/a/folder/with/a/long/name/pairs.csv?label=category&caption=none';
    const lines = formatTable([named('photos', 0.1), named(long, 0.2)]).split('\n');
    assert.ok(
      lines.every((line) => line.length <= 80),
      lines.join('\n'),
    );
    // Each data set has its own chance level here, and the columns need three parts.
    assert.equal(lines.filter((line) => line.startsWith('  chance')).length, 6);
    assert.equal(lines.filter((line) => line === long).length, 3);
    for (const [metric = ''] of shots) {
      assert.ok(
        lines.some((line) => line.includes(String(metric))),
        String(metric),
      );
    }
    assert.ok(lines.some((line) => line.startsWith('  95 %') && line.includes('10.5–30.5')));
  });

  it('leaves out tables without rows', () => {
    assert.deepEqual(metricTables([]), []);
    assert.equal(metricTables(results).length, 3);
  });
});
