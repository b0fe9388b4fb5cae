import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { bantam, bantamJson, expectFailure } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1', BANTAM_CACHE: join(cwd, 'cache') };
const options = { cwd, env };
const models = ['a/model', 'b/model'];

before(async () => {
  await drawShapes(join(cwd, 'shapes'), { each: 4 });
  for (const [seed, run] of ['a', 'b'].entries()) {
    const args = ['--data', 'folder:shapes', '--out', run, '--budget', '48samples'];
    await bantamJson(['train', ...tinyModel, ...args, '--seed', String(seed)], options);
  }
  const suite = {
    name: 'shapes',
    tasks: ['zero-shot', 'retrieval', 'few-shot'],
    probe: { shots: [1, 2] },
    datasets: [
      { name: 'own', data: 'folder:{root}/shapes' },
      { name: 'gone', data: 'folder:{root}/gone' },
    ],
  };
  writeFileSync(join(cwd, 'suite.json'), JSON.stringify(suite));
});
after(() => rm(cwd, { recursive: true }));

interface Report {
  readonly results: readonly { readonly model: string; readonly task: string }[];
  readonly reused: number;
}

interface Comparison {
  readonly task: string;
  readonly items: number;
  readonly values: readonly [number, number];
  readonly pValue: number;
}

describe('bantam eval --suite', () => {
  const args = ['eval', '--model', ...models, '--suite', 'suite.json', '--out', 'out'];

  it('measures models on what is there and writes JSON, CSV and a page', async () => {
    const { status, stdout, stderr } = await bantam(args, options);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /== a ==[^]*Few-shot classification: label/);
    assert.match(stdout, /Missing:\n {2}gone: /);
    assert.match(stdout, /6 results, 0 of them from before/);
    const page = readFileSync(join(cwd, 'out/report.html'), 'utf8');
    for (const part of ['Main metrics', 'Hardest classes', 'calibration error', 'gone']) {
      assert.ok(page.includes(part), part);
    }
    assert.match(readFileSync(join(cwd, 'out/results.csv'), 'utf8'), /zeroshot_retrieval/);
    const again = (await bantamJson(args, options)) as Report;
    assert.deepEqual([again.results.length, again.reused], [6, 6]);
  });
});

describe('bantam eval --suite with a shift', () => {
  const suite = {
    name: 'shifted',
    tasks: ['zero-shot'],
    datasets: [
      { name: 'own', data: 'folder:{root}/shapes' },
      { name: 'again', data: 'folder:{root}/shapes', shiftOf: 'own' },
    ],
  };

  it('says in words and on the page why two models have no line, and refuses useless baselines', async () => {
    writeFileSync(join(cwd, 'shifted.json'), JSON.stringify(suite));
    const args = ['eval', '--model', ...models, '--suite', 'shifted.json', '--out', 'shifted'];
    const { status, stdout, stderr } = await bantam(args, options);
    assert.equal(status, 0, stderr);
    assert.match(
      stdout,
      /Effective robustness on again, a shift of own \(zero-shot of label, acc1\):/,
    );
    assert.match(stdout, /\na: One model makes no reference line/);
    assert.ok(stdout.split('\n').every((line) => line.length <= 100));
    const page = readFileSync(join(cwd, 'shifted/report.html'), 'utf8');
    assert.ok(page.includes('Effective robustness'));
    await expectFailure([...args, '--baselines', 'out/results.json'], {
      status: 1,
      message: /The baselines "out\/results\.json" hold no two models .* such as "own" and "again"/,
      ...options,
    });
  });
});

describe('bantam compare', () => {
  const data = ['--data', 'folder:shapes'];

  it('compares two models on the same images, and shows where they differ', async () => {
    const args = ['compare', ...models, ...data, '--out', 'differ.html'];
    const { comparisons } = (await bantamJson(args, options)) as { comparisons: Comparison[] };
    assert.deepEqual(
      comparisons.map(({ task }) => task),
      ['zero-shot', 'retrieval', 'retrieval'],
    );
    const [zeroShot] = comparisons;
    assert.equal(zeroShot?.items, 48);
    assert.ok(zeroShot.pValue > 0 && zeroShot.pValue <= 1);
    assert.match(readFileSync(join(cwd, 'differ.html'), 'utf8'), /only a is right/);
  });

  it('compares stored answers, and refuses those of other data', async () => {
    const stored = async (model: string, out: string, more: readonly string[]) => {
      const args = ['eval', '--model', model, ...data, '--answers', out, ...more];
      await bantamJson(args, options);
    };
    await stored('a/model', 'a.json', ['--tasks', 'zero-shot']);
    await stored('b/model', 'b.json', ['--tasks', 'zero-shot']);
    await stored('b/model', 'c.json', ['--tasks', 'retrieval']);
    const { status, stdout, stderr } = await bantam(['compare', 'a.json', 'b.json'], options);
    assert.equal(status, 0, stderr);
    assert.match(
      stdout,
      /folder:shapes: top-1 accuracy of label \(zero-shot, acc1\)\n +[\d.]+ % {2}a\.json\n/,
    );
    await expectFailure(['compare', 'a.json', 'c.json'], {
      status: 1,
      message: /The second model has no answers for "folder:shapes" \(zero-shot, acc1\)/,
      ...options,
    });
  });
});

describe('wrong use of evaluation', () => {
  it('is one sentence', async () => {
    const suite = ['eval', '--model', 'a/model', '--suite', 'suite.json'];
    await expectFailure([...suite, '--out', '/proc/out'], { status: 1, message: /^error: \/proc\/out/m, cwd, env }); // prettier-ignore
    const one = ['eval', '--model', 'a/model'];
    const data = ['--data', 'folder:shapes'];
    const fails = (args: readonly string[], message: RegExp, status: 1 | 2 = 2) =>
      expectFailure(args, { status, message, ...options });
    await Promise.all([
      fails(one, /--data, or a suite with --suite/),
      fails(['eval', '--model', ...models, ...data], /2 models .* bantam compare/),
      fails([...one, ...data, '--out', 'x'], /--out belongs to a suite/),
      fails(
        [...one, '--suite', 'suite.json', '--baselines', 'gone.json'],
        /no baselines "gone\.json"/,
        1,
      ),
      fails([...one, ...data, '--suite', 'vtab'], /A suite names its data/),
      fails([...one, '--suite', 'vtb'], /no suite "vtb" \(did you mean "vtab"\?\)/),
      fails([...one, '--suite', 'vtab', '--root', cwd], /None of the 19 data sets/, 1),
      fails([...one, ...data, '--protocol', 'bigvision'], /did you mean "big_vision"/),
      fails([...one, ...data, '--classes', 'imagnet'], /did you mean "imagenet"/),
      fails(
        [...one, ...data, '--classes', 'nope.txt'],
        /^error: The file of class names "nope\.txt" cannot be read \(no such file or folder\); name an existing one with --classes\.$/,
        1,
      ),
      fails(
        [...one, ...data, '--tasks', 'retrieval', '--templates', 'nope.txt'],
        /^error: The file of prompts "nope\.txt" cannot be read \(no such file or folder\); name an existing one with --templates\.$/,
        1,
      ),
      fails(
        [...one, '--suite', 'suite.json', '--baselines', '.'],
        /^error: \. cannot be read \(it is a folder, not a file\)/,
        1,
      ),
      fails(
        [...one, ...data, '--tasks', 'few-shot', '--shots', '1,9'],
        /has \d+ training images, fewer than 9 shots; ask for at most \d \(--shots 1\)/,
        1,
      ),
      fails(['compare', 'a/model', 'a/model', ...data], /compared with itself/),
      fails(['compare', ...models], /with --data/),
    ]);
  });
});
