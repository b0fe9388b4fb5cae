import assert from 'node:assert/strict';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { RandomStreams } from '@bantam/torch';
import { createModel, parseModelConfig, saveModel } from '../../models/index.js';
import { preprocessFor } from '../../models/index.js';
import { trainTokenizer } from '../../text/index.js';
import { writeImages } from '../../test-support/tiny-model.js';
import { runSuite } from './run-suite.js';
import { openSuite } from './suite.js';

const directory = mkdtempSync(join(tmpdir(), 'bantam-suite-'));
const file = join(directory, 'suite.json');
const models = ['first', 'second'].map((name) => join(directory, name));
const features = join(directory, 'features');

before(async () => {
  const shades = (hue: number): string[] =>
    Array.from({ length: 9 }, (_, i) => `hsl(${hue}, 80%, ${20 + 7 * i}%)`);
  const colors = { red: shades(0), green: shades(120), blue: shades(240) };
  await writeImages(join(directory, 'plain'), colors);
  await writeImages(join(directory, 'shifted'), colors);
  const suite = {
    name: 'own',
    tasks: ['zero-shot', 'linear-probe', 'few-shot', 'knn'],
    probe: { shots: [1, 2], neighbours: [3] },
    datasets: [
      { name: 'plain', data: 'folder:{root}/plain', tags: ['domain'], metric: 'acc1', chance: 0.4 },
      {
        name: 'shifted',
        data: 'folder:{root}/shifted',
        train: 'folder:{root}/plain',
        probe: { shots: [20] },
      },
      { name: 'gone', data: 'folder:{root}/gone', get: 'it from its authors' },
    ],
  };
  writeFileSync(file, JSON.stringify(suite));
  const tower = { width: 16, layers: 1 };
  const config = parseModelConfig({
    embedDim: 8,
    vision: { ...tower, imageSize: 16, patchSize: 8, headWidth: 8 },
    text: { ...tower, heads: 2, vocabSize: 520, contextLength: 24 },
  });
  const tokenizer = trainTokenizer(['a red thing', 'a blue thing', 'green'], {
    vocabSize: 520,
    contextLength: 24,
  });
  for (const [seed, folder] of models.entries()) {
    const generator = new RandomStreams({ seed }).get('init');
    const model = createModel(config, { generator });
    await saveModel(folder, {
      config: model.config,
      model,
      tokenizer,
      preprocess: preprocessFor(16),
    });
  }
});

after(() => {
  rmSync(directory, { recursive: true });
});

describe('runSuite', () => {
  const out = join(directory, 'out');

  it('measures each task of each model, names what is missing and what is refused', async () => {
    const report = await runSuite(await openSuite(file), { models, out, features });
    const own = report.results.filter(({ model }) => model === 'first');
    assert.deepEqual(
      own.map(({ dataset, task }) => `${dataset} ${task}`),
      [
        ...['zero-shot', 'linear-probe', 'few-shot', 'knn'].map((task) => `plain ${task}`),
        ...['zero-shot', 'linear-probe', 'knn'].map((task) => `shifted ${task}`),
      ],
    );
    assert.deepEqual(
      report.missing.map(({ name, get }) => [name, get]),
      [['gone', 'it from its authors']],
    );
    assert.deepEqual(
      report.refused.map(({ model, task }) => `${model} ${task}`),
      ['first few-shot', 'second few-shot'],
    );
    assert.match(
      report.refused[0]?.reason ?? '',
      /"blue" has 9 training images, fewer than 20 shots/,
    );
    const probe = own.find(({ dataset, task }) => dataset === 'plain' && task === 'linear-probe');
    assert.equal(probe?.probe?.source, 'split by key');
    assert.deepEqual(
      [probe.probe.layer, probe.probe.train, probe.probe.validation, probe.probe.test],
      ['representation', 15, 6, 6],
    );
    // The images are the same, so a head that was trained on them classifies them as it did.
    const moved = own.find(({ dataset, task }) => dataset === 'shifted' && task === 'linear-probe');
    assert.deepEqual([moved?.probe?.test, moved?.probe?.train], [27, 21]);
    const [all, domain] = report.averages;
    assert.deepEqual([all?.name, all?.measured, all?.of], ['all', 2, 3]);
    assert.deepEqual([domain?.name, domain?.measured, domain?.of], ['domain', 1, 1]);
    assert.deepEqual([own[0]?.chance.acc1, own[0]?.main], [0.4, 'acc1']);
    assert.equal(own[1]?.chance.lp_acc1, 1 / 3);
    assert.equal(report.reused, 0);
  });

  it("writes CLIP_benchmark's columns", () => {
    const [head = '', ...rows] = readFileSync(join(out, 'results.csv'), 'utf8').trim().split('\n');
    for (const column of [
      'acc1',
      'lp_acc1',
      'dataset',
      'model',
      'pretrained',
      'task',
      'language',
      'model_fullname',
    ]) {
      assert.ok(head.split(',').includes(column), column);
    }
    assert.equal(rows.length, 14);
    assert.match(rows[0] ?? '', /plain,first,.*,zeroshot_classification,en,/);
  });

  it('takes results from before, and measures again what has changed', async () => {
    const again = async () => runSuite(await openSuite(file), { models, out, features });
    const before = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as {
      results: unknown;
    };
    const report = await again();
    assert.equal(report.reused, report.results.length);
    assert.deepEqual(JSON.parse(JSON.stringify(report.results)), before.results);
    const image = join(directory, 'shifted', 'red', '0.png');
    const { atime } = statSync(image);
    utimesSync(image, atime, new Date(0));
    const changed = await again();
    assert.equal(changed.reused, 8);
  });

  it('takes features from before', async () => {
    const other = join(directory, 'other');
    const stages: string[] = [];
    const report = await runSuite(await openSuite(file), {
      models: models.slice(0, 1),
      out: other,
      features,
      tasks: ['zero-shot'],
      onProgress: (task) => stages.push(task),
    });
    assert.equal(report.reused, 0);
    assert.deepEqual(
      stages.filter((stage) => stage.includes('embedding')),
      [],
    );
  });

  it('refuses a suite with nothing there, and a model that is named twice', async () => {
    const root = join(directory, 'empty');
    mkdirSync(root);
    const nothing = runSuite(await openSuite('datacomp', { root }), { models, out });
    await assert.rejects(
      nothing,
      /None of the 38 data sets of the suite "datacomp" can be read in .*get one, such as shards in CLIP_benchmark's layout/,
    );
    const [first = ''] = models;
    const twice = runSuite(await openSuite(file), { models: [first, first], out, features });
    await assert.rejects(twice, /is named twice/);
  });
});

describe('openSuite', () => {
  it('has the sizes of the published suites', async () => {
    const sizes: Record<string, number> = {};
    for (const name of ['datacomp', 'vtab', 'imagenet-shifts']) {
      const { suite } = await openSuite(name);
      sizes[name] = suite.datasets.length;
      assert.equal(new Set(suite.datasets.map((one) => one.name)).size, suite.datasets.length);
    }
    assert.deepEqual(sizes, { datacomp: 38, vtab: 19, 'imagenet-shifts': 6 });
    const { suite } = await openSuite('imagenet-shifts');
    assert.deepEqual(
      suite.datasets.map(({ shiftOf }) => shiftOf),
      [undefined, ...new Array<string>(5).fill('imagenet1k')],
    );
  });

  it('refuses unknown names, settings and tasks in one sentence', async () => {
    await assert.rejects(openSuite('datacmp'), /no suite "datacmp" \(did you mean "datacomp"/);
    const broken = join(directory, 'broken.json');
    const datasets = [{ name: 'a', data: 'folder:a', tag: 'b' }];
    writeFileSync(broken, JSON.stringify({ name: 'x', datasets }));
    await assert.rejects(openSuite(broken), /has no setting "tag" \(did you mean "tags"\?\)/);
    writeFileSync(broken, JSON.stringify({ name: 'x', tasks: ['zeroshot'], datasets: [] }));
    await assert.rejects(openSuite(broken), /"zeroshot"; it must be "zero-shot" or/);
    const twice = [{ name: 'a', data: 'folder:a' }, { name: 'a', data: 'folder:b' }]; // prettier-ignore
    writeFileSync(broken, JSON.stringify({ name: 'x', datasets: twice }));
    await assert.rejects(openSuite(broken), /has the data set "a" twice/);
    const shift = (shiftOf: string) => [{ name: 'photo', data: 'folder:a' }, { name: 'b', data: 'folder:b', shiftOf }]; // prettier-ignore
    writeFileSync(broken, JSON.stringify({ name: 'x', datasets: shift('foto') }));
    await assert.rejects(
      openSuite(broken),
      /"b" of the suite .* is a shift of "foto" \(did you mean "photo"\?\); name another data set/,
    );
    writeFileSync(broken, JSON.stringify({ name: 'x', datasets: shift('b') }));
    await assert.rejects(
      openSuite(broken),
      /"b" of the suite .* is a shift of itself; name another/,
    );
  });
});
