import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, truncateSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { bantam, bantamJson, start } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
// One thread: sums have one order, and tests that run beside this one have the other core.
const options = { cwd, env: { OMP_NUM_THREADS: '1' } };
const whole = [...tinyModel, '--data', 'folder:train', '--budget', '4800samples'];

function weights(run: string): string {
  const file = join(cwd, run, 'model', 'open_clip_model.safetensors');
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

function checkpoints(run: string): string[] {
  const folder = join(cwd, run, 'checkpoints');
  return existsSync(folder) ? readdirSync(folder) : [];
}

async function trainWhole(run: string): Promise<Record<string, unknown>> {
  return (await bantamJson(['train', ...whole, '--out', run], options)) as Record<string, unknown>;
}

after(() => rm(cwd, { recursive: true }));

describe('a training run', () => {
  let result: Record<string, unknown> = {};
  before(async () => {
    await drawShapes(join(cwd, 'train'), { each: 12 });
    await drawShapes(join(cwd, 'test'), { each: 3, variant: 1 });
    result = await trainWhole('run');
  });

  it('runs the steps of its budget and reports them', () => {
    assert.equal(result.steps, 200);
    assert.equal(result.samples, 4800);
    assert.equal(result.interrupted, false);
    assert.equal(result.quarantined, 0);
    assert.equal(result.model, join('run', 'model'));
    const lines = readFileSync(join(cwd, 'run', 'metrics.jsonl'), 'utf8')
      .trim()
      .split('\n');
    assert.equal(lines.length, 200);
  });

  it('classifies and retrieves images that were not trained on', async () => {
    const results = (await bantamJson(
      ['eval', '--model', 'run/model', '--data', 'folder:test'],
      options,
    )) as { dataset: string; task: string; metrics: Record<string, number> }[];
    const [zeroShot, retrieval] = results;
    assert.deepEqual(
      results.map(({ task }) => task),
      ['zero-shot', 'retrieval'],
    );
    assert.equal(zeroShot?.dataset, 'folder:test');
    assert.ok(Number(zeroShot.metrics.acc1) >= 0.9, JSON.stringify(zeroShot.metrics));
    assert.ok(Number(retrieval?.metrics['image_retrieval_recall@1']) >= 0.9);
  });

  it('teaches a smaller model, whose configuration names the teacher', async () => {
    const small = ['--set', 'model.embedDim=24', '--set', 'model.vision.layers=1'];
    const args = [...tinyModel, ...small, '--data', 'folder:train', '--budget', '480samples'];
    args.push('--strategy', 'distill', '--teacher', 'run/model', '--teacher', 'run/model');
    const student = await bantamJson(['train', ...args, '--out', 'student'], options);
    assert.equal((student as Record<string, unknown>).samples, 480);
    const config = JSON.parse(readFileSync(join(cwd, 'student', 'config.json'), 'utf8')) as {
      strategy: Record<string, unknown>;
    };
    assert.equal(config.strategy.type, 'distill');
    assert.deepEqual(config.strategy.teachers, ['run/model', 'run/model']);
  });

  it('is fine-tuned by LoRA to an adapter, which evaluates and converts as a model', async () => {
    const args = ['train', '--init', 'run/model', '--data', 'folder:train', '--out', 'tuned'];
    args.push('--fine-tune', 'lora', '--set', 'fineTune.save=adapter', '--freeze', 'text');
    args.push('--budget', '1epochs', '--set', 'fineTune.rank=2', '--set', 'train.batchSize=24');
    const { samples } = (await bantamJson(args, options)) as { samples: number };
    assert.equal(samples, 144);
    const model = ['--model', 'tuned/model', '--data', 'folder:test', '--tasks', 'zero-shot'];
    const [zeroShot] = (await bantamJson(['eval', ...model], options)) as {
      metrics: Record<string, number>;
    }[];
    assert.ok(Number(zeroShot?.metrics.acc1) >= 0.9, JSON.stringify(zeroShot));
    await bantamJson(
      ['models', 'convert', 'tuned/model', '--to', 'open-clip', '--out', 'merged'],
      options,
    );
    const files = readdirSync(join(cwd, 'tuned', 'model'));
    assert.ok(files.includes('adapter_model.safetensors'));
    const size = (file: string): number => readFileSync(join(cwd, file)).length;
    const [adapter, whole] = ['tuned/model/adapter_model.safetensors', 'merged/open_clip_model.safetensors'].map(size); // prettier-ignore
    assert.ok(adapter !== undefined && whole !== undefined && adapter < 0.2 * whole);
  });

  it('evaluates the tasks and data sets that are asked for', async () => {
    const results = (await bantamJson(
      ['eval', '--model=run/model', '--data', 'folder:test', 'folder:train', '--tasks=retrieval'],
      options,
    )) as { dataset: string; task: string }[];
    assert.deepEqual(
      results.map(({ dataset, task }) => [dataset, task]),
      [
        ['folder:test', 'retrieval'],
        ['folder:train', 'retrieval'],
      ],
    );
  });

  it('prints tables with the chance level for people', async () => {
    const args = ['eval', '--model', 'run/model', '--data', 'folder:test'];
    const { status, stdout } = await bantam(args, options);
    assert.equal(status, 0);
    assert.match(stdout, /^Zero-shot classification: label \(12 classes\)$/m);
    assert.match(stdout, /^ +images +top-1 .*\nfolder:test .*\n {2}95 % .*\nchance /m);
  });

  it('embeds images that a text then finds', async () => {
    const embedded = await bantamJson(
      ['embed', '--model', 'run/model', '--data', 'folder:test', '--out', 'test.safetensors'],
      options,
    );
    const nothing = { changed: 0, relabelled: 0, unchanged: 0, dropped: 0, duplicates: 0 };
    const file = { out: 'test.safetensors', size: 36, dimensions: 64, captions: true };
    assert.deepEqual(embedded, { ...file, ...nothing, added: 36, quarantined: [] });
    const search = ['search', '--index', 'test.safetensors', '--top', '3', 'a', 'red', 'circle'];
    const { query, results } = (await bantamJson(search, options)) as {
      query: string;
      results: { key: string; score: number; caption: string }[];
    };
    assert.equal(query, 'a red circle');
    assert.equal(results.length, 3);
    for (const { key, score } of results) {
      assert.match(key, /^red circle\//);
      assert.ok(score > 0.3 && score <= 1.0001);
    }
    const { stdout } = await bantam(search, options);
    assert.match(stdout, /^0\.\d{3} {2}red circle\/\d\.png /);
  });

  it('has a tokenizer that turns words into ids', async () => {
    const [encoded] = (await bantamJson(
      ['tokenizer', 'encode', '--tokenizer', 'run', 'a red circle'],
      options,
    )) as { text: string; ids: number[] }[];
    const ids = encoded?.ids ?? [];
    assert.equal(ids.at(-1), Math.max(...ids));
    assert.ok(ids.length >= 3 && ids.length <= 16);
  });

  it('takes a unigram tokenizer that was trained on its captions', async () => {
    const unigram = ['--type', 'unigram', '--normalization', 'identity', '--byte-fallback'];
    const trained = await bantamJson(
      ['tokenizer', 'train', '--data', 'folder:train', '--out', 'unigram', ...unigram],
      options,
    );
    const { vocabSize } = trained as { vocabSize: number };
    assert.ok(vocabSize > 256 + 20 && vocabSize < 400, `${vocabSize}`);
    const encode = ['tokenizer', 'encode', '--tokenizer', 'unigram', 'a red circle'];
    const plain = ['--wrapper', 'plain', '--tokenizer', 'unigram/spiece.model'];
    const idsOf = async (args: string[]): Promise<number[]> =>
      ((await bantamJson(args, options)) as { ids: number[] }[])[0]?.ids ?? [];
    const ids = await idsOf(encode);
    assert.equal(ids.at(-1), vocabSize - 1);
    assert.deepEqual(await idsOf([...encode, ...plain]), ids.slice(0, -1));
    const run = ['--data', 'folder:train', '--budget', '48samples', '--tokenizer', 'unigram'];
    await bantamJson(['train', ...tinyModel, ...run, '--out', 'second'], options);
    const saved = ['tokenizer', 'encode', '--tokenizer', 'second/model', 'a red circle'];
    assert.deepEqual(await idsOf(saved), ids);
  });

  it('is not overwritten', async () => {
    const { status, stderr } = await bantam(['train', ...whole, '--out', 'run'], options);
    assert.equal(status, 2);
    assert.match(stderr, /error: The folder run holds a run already/);
  });

  it('that is killed resumes and ends with the same weights', async () => {
    const run = start(
      ['train', ...whole, '--out', 'killed', '--set', 'train.checkpointMinutes=0.002'],
      options,
    );
    while (checkpoints('killed').length === 0 && run.process.exitCode === null) {
      await setTimeout(20);
    }
    run.process.kill('SIGKILL');
    assert.equal((await run.ended).status, null);
    assert.ok(!existsSync(join(cwd, 'killed', 'model')));
    await bantamJson(['train', '--resume', 'killed'], options);
    assert.equal(weights('killed'), weights('run'));
  });

  it('that is interrupted saves a checkpoint and says how to resume it', async () => {
    const run = start(['train', ...whole, '--out', 'stopped'], options);
    await run.printed(/^training /m);
    run.process.kill('SIGINT');
    const { status, stdout, stderr } = await run.ended;
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /SIGINT: saving a checkpoint/);
    assert.match(stderr, /^error: .*"bantam train --resume stopped"/m);
    assert.equal(checkpoints('stopped').length, 1);
  });
});

describe('a training run with validations', () => {
  it('reports the validations, and its model scores as the best did', async () => {
    await drawShapes(join(cwd, 'small'), { each: 2 });
    const args = ['train', ...tinyModel, '--data', 'folder:small', '--budget', '240samples'];
    const measured = ['--validate', 'folder:small', '--set', 'validation.metric=acc1'];
    const { status, stdout, stderr } = await bantam(
      [...args, '--out', 'best', ...measured, '--set', 'validation.every=0.5'],
      options,
    );
    assert.equal(status, 0, stderr);
    assert.match(stderr, /^Validation at step 5: acc1 0\.\d+, the best so far$/m);
    const [, value = ''] = /^Best validation: acc1 (\S+) at step \d+/m.exec(stdout) ?? [];
    const evaluate = ['eval', '--model=best/model', '--data=folder:small', '--tasks=zero-shot'];
    const [result] = (await bantamJson(evaluate, options)) as { metrics: { acc1: number } }[];
    assert.equal(result?.metrics.acc1.toFixed(4), value);
    const lines = readFileSync(join(cwd, 'best', 'validation.jsonl'), 'utf8')
      .trim()
      .split('\n');
    assert.equal(lines.length, 2);
    assert.ok(existsSync(join(cwd, 'best', 'best', 'open_clip_model.safetensors')));
  });
});

describe('a training run with broken images', () => {
  it('skips them, counts them and names them', async () => {
    await drawShapes(join(cwd, 'broken'), { each: 9 });
    truncateSync(join(cwd, 'broken', 'red circle', '0.png'), 100);
    const args = ['train', ...tinyModel, '--data', 'folder:broken', '--budget', '216samples'];
    const { status, stdout, stderr } = await bantam([...args, '--out', 'patched'], options);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /1 broken sample was skipped: patched\/quarantine\.jsonl/);
    const line = readFileSync(join(cwd, 'patched', 'quarantine.jsonl'), 'utf8').trim();
    assert.match((JSON.parse(line) as { key: string }).key, /red circle\/0\.png/);
  });
});
