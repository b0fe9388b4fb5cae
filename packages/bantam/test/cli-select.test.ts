import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ScoreSummary } from '../src/scoring/index.js';
import { bantam, bantamJson, expectFailure, start } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1', BANTAM_CACHE: join(cwd, 'cache') };
const at = (path: string): string => join(cwd, path);
const read = (path: string): string => readFileSync(at(path), 'utf8');
const spec = 'csv:shapes/pairs.csv';
const all = 'captions,images,phash,similarity,negCLIPLoss,normSim,duplicates';

/** `bantam data score` of the shapes with every score, four at a time. */
function scoring(out: string, ...more: string[]): string[] {
  const flags = ['--model', 'run/model', '--scores', all, '--target', 'folder:few'];
  return ['data', 'score', spec, '--out', out, ...flags, '--batch-size', '4', ...more];
}

function fails(args: string[], message: RegExp, status: 1 | 2 = 1): Promise<void> {
  return expectFailure(args, { status, message, cwd, env });
}

interface Row {
  readonly key: string;
  readonly broken?: string;
  readonly [score: string]: string | number | undefined;
}

function rows(path: string): Row[] {
  return read(path)
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line) as Row);
}

before(async () => {
  await drawShapes(at('shapes'), { each: 5 });
  await drawShapes(at('few'), { each: 1, variant: 2 });
  const train = ['train', ...tinyModel, '--data', spec, '--out', 'run', '--budget', '480samples'];
  await bantamJson(train, { cwd, env });
  await bantamJson(scoring('whole.jsonl'), { cwd, env });
});
after(() => rm(cwd, { recursive: true }));

describe('bantam data score', () => {
  it('writes a header with provenance and a row of scores for each record', () => {
    const header = JSON.parse(read('whole.jsonl').split('\n', 1)[0] ?? '') as {
      settings: Record<string, unknown>;
      [name: string]: unknown;
    };
    assert.deepEqual([header.bantam, header.data, header.records], ['scores', spec, 60]);
    const { weights, target, cosine, negatives } = header.settings;
    assert.match(String(weights), /^[0-9a-f]{16}$/);
    assert.deepEqual([target, cosine, negatives], ['folder:few', 0.95, 32_768]);
    const [first] = rows('whole.jsonl');
    assert.deepEqual(
      Object.keys(first ?? {}),
      ['key', 'words', 'characters', 'language', 'width', 'height', 'aspect', 'phash', 'similarity', 'normSim', 'negCLIPLoss'], // prettier-ignore
    );
    assert.deepEqual([first?.words, first?.characters, first?.width], [3, 12, 64]);
    for (const { similarity, negCLIPLoss, normSim } of rows('whole.jsonl')) {
      assert.ok(Math.abs(Number(similarity)) <= 1 && Number(normSim) > 0);
      assert.ok(Number(negCLIPLoss) < 0);
    }
  });

  it('does nothing more for a finished file', async () => {
    const summary = (await bantamJson(scoring('whole.jsonl'), { cwd, env })) as ScoreSummary;
    assert.deepEqual([summary.kept, summary.records], [60, 60]);
  });

  it('gives the same bytes after it was killed and its files were cut off', async () => {
    const running = start(scoring('killed.jsonl'), { cwd, env });
    const partial = at('killed.jsonl.partial');
    const lines = (): number =>
      existsSync(partial) ? readFileSync(partial, 'utf8').split('\n').length - 2 : 0;
    while (lines() < 8 && running.process.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    running.process.kill('SIGKILL');
    await running.ended;
    assert.ok(!existsSync(at('killed.jsonl')), 'only a complete file has the final name');
    const before = lines();
    assert.ok(before >= 8 && before < 60, `${before}`);
    // A power cut can lose the end of either file.
    truncateSync(partial, readFileSync(partial).length - 7);
    const resumed = (await bantamJson(scoring('killed.jsonl'), { cwd, env })) as ScoreSummary;
    assert.ok(resumed.kept > 0 && resumed.kept < before, `${resumed.kept}`);
    assert.equal(read('killed.jsonl'), read('whole.jsonl'));
    assert.ok(!existsSync(partial) && !existsSync(`${partial}.features`));
  });

  it('names what differs in a file of other settings, and leaves other files alone', async () => {
    await fails(
      scoring('whole.jsonl', '--cosine', '0.9'),
      /"whole.jsonl" was made with cosine 0.95, but now cosine 0.9 is asked for/,
    );
    writeFileSync(at('notes.txt'), 'mine');
    await fails(
      scoring('notes.txt'),
      /"notes.txt" is no complete score file and is left unchanged/,
    );
    assert.equal(read('notes.txt'), 'mine');
  });

  it('gives a broken image a row with the reason, and the others their scores', async () => {
    const image = at('shapes/red circle/0.png');
    const bytes = readFileSync(image);
    truncateSync(image, 40);
    const summary = (await bantamJson(scoring('broken.jsonl'), { cwd, env })) as ScoreSummary;
    writeFileSync(image, bytes);
    assert.equal(summary.broken, 1);
    const broken = rows('broken.jsonl').filter((row) => row.broken !== undefined);
    assert.deepEqual(
      broken.map(({ key }) => key),
      ['red circle/0.png'],
    );
    const similarities = (path: string): unknown[] =>
      rows(path).slice(4).map(({ key, similarity }) => [key, similarity]); // prettier-ignore
    assert.deepEqual(similarities('broken.jsonl'), similarities('whole.jsonl'));
  });

  it('refuses scores without their model, target or captions', async () => {
    const score = ['data', 'score', spec, '--out', 'x.jsonl'];
    await fails([...score, '--scores', 'similarty'], /no score "similarty" \(did you mean "similarity"\?\)/, 2); // prettier-ignore
    await fails([...score, '--scores', 'similarity'], /needs a model; name one with --model/, 2);
    await fails([...score, '--scores', 'normSim', '--model', 'run/model'], /--target SPEC/, 2);
    await fails(
      ['data', 'score', 'images:few?caption=none', '--out', 'x.jsonl', '--model', 'run/model'],
      /"images:few\?caption=none" has no captions, which the score "similarity" compares/,
    );
    assert.ok(!existsSync(at('x.jsonl')) && !existsSync(at('x.jsonl.partial')));
  });
});

describe('bantam data select', () => {
  const select = (out: string, ...criteria: string[]): string[] => {
    return ['data', 'select', spec, '--scores', 'whole.jsonl', '--out', out, ...criteria];
  };

  it('writes the top fraction, which training and evaluation use as data', async () => {
    const chosen = await bantamJson(select('top.txt', '--top', 'similarity=40%'), { cwd, env });
    assert.deepEqual(chosen, {
      out: 'top.txt',
      records: 60,
      selected: 24,
      alone: [
        {
          criterion: { type: 'top', scores: ['similarity'], fraction: 0.4, ties: 'key' },
          kept: 24,
        },
      ],
      notes: [],
    });
    const keys = new Set(read('top.txt').trimEnd().split('\n').slice(1));
    const scores = rows('whole.jsonl');
    const least = Math.min(
      ...scores.filter(({ key }) => keys.has(key)).map((row) => Number(row.similarity)),
    );
    assert.ok(scores.every(({ key, similarity }) => keys.has(key) || Number(similarity) <= least));
    const data = `${spec}?subset=top.txt`;
    const train = ['train', ...tinyModel, '--data', data, '--out', 'top', '--budget', '48samples'];
    await bantamJson(train, { cwd, env });
    const [result] = (await bantamJson(['eval', '--model', 'top/model', '--data', data], {
      cwd,
      env,
    })) as { samples: number }[];
    assert.equal(result?.samples, 24);
  });

  it('prints what each criterion keeps, and the specification to use', async () => {
    const { stdout } = await bantam(
      select('both.txt', '--where', 'words>=3', '--unique', 'phash', '--best', 'similarity'),
      { cwd, env },
    );
    assert.match(stdout, /^ {2}words >= 3 +60 +100\.0 %$/m);
    assert.match(stdout, /\d+ of 60 records selected \(\d+\.\d %\): both\.txt/);
    assert.match(stdout, /Use them with "csv:shapes\/pairs.csv\?subset=both.txt"/);
  });

  it('shows scores on a page, also those of two files by name', async () => {
    const report = ['data', 'report', spec, '--out', 'pages/scores.html', '--scores'];
    const files = ['a=whole.jsonl', 'b=broken.jsonl'];
    const shown = (await bantamJson([...report, ...files], { cwd, env })) as {
      agreements: { a: string; b: string; correlation: number }[];
      notes: string[];
    };
    const pair = shown.agreements.find(({ a, b }) => a === 'a.similarity' && b === 'b.similarity');
    assert.ok(Math.abs((pair?.correlation ?? NaN) - 1) < 1e-9);
    assert.deepEqual(shown.notes, ['1 record of "broken.jsonl" is broken and has no scores.']);
    assert.match(read('pages/scores.html'), /b\.negCLIPLoss/);
    await fails([...report, 'whole.jsonl', 'broken.jsonl'], /have no name; name them, as in --scores a=whole.jsonl b=broken.jsonl/, 2); // prettier-ignore
  });

  it('refuses options without their criterion, and criteria that leave nothing', async () => {
    await fails(select('x.txt'), /Selecting needs a criterion/, 2);
    await fails(select('x.txt', '--random', '0.5', '--best', 'words'), /--best belongs to --unique or --per-class/, 2); // prettier-ignore
    await fails(select('x.txt', '--top', 'similarity=140%'), /fraction above 0, at most 1/, 2);
    await fails(select('x.txt', '--where', 'words>9'), /No record of 60 is left/);
    await fails(select('x.txt', '--top', 'quality=0.5'), /The scores have no "quality"/);
    assert.ok(!existsSync(at('x.txt')));
    rmSync(at('x.txt'), { force: true });
  });

  it('refuses scores of other data and a subset of other data', async () => {
    const other = ['data', 'select', 'images:few?caption=name', '--scores', 'foreign.jsonl', '--random', '0.5', '--out', 'x.txt']; // prettier-ignore
    writeFileSync(
      at('foreign.jsonl'),
      read('whole.jsonl').replaceAll('"key":"', '"key":"elsewhere/'),
    );
    await fails(other, /are of other data/);
    writeFileSync(at('gone.txt'), 'a.png\n');
    await fails(['data', 'inspect', `${spec}?subset=gone.txt`], /None of the 1 keys of "gone.txt"/);
  });
});
