import assert from 'node:assert/strict';
import { readFileSync, truncateSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { RandomStreams } from '@bantam/torch';
import {
  captionSource,
  createModel,
  loadCocaCaptioner,
  modelConfig,
  openSource,
  preprocessFor,
  saveModel,
  trainTokenizer,
  type CaptionSummary,
  type CocaCaptionerOptions,
} from 'bantam/experimental';
import { bantamJson, expectFailure } from './bantam.js';
import { drawShapes, temporaryFolder } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1', BANTAM_CACHE: join(cwd, 'cache') };
const at = (path: string): string => join(cwd, path);
const read = (path: string): string => readFileSync(at(path), 'utf8');
const colors = ['red', 'green', 'blue', 'yellow'];

before(async () => {
  await drawShapes(at('shapes'), { each: 2 });
  const tokenizer = trainTokenizer(
    colors.flatMap((color) => ['circle', 'bar', 'pillar'].map((shape) => `a ${color} ${shape}`)),
    { vocabSize: 540, contextLength: 16 },
  );
  const { contextLength, vocabSize } = tokenizer;
  const small = { vision: { layers: 1 }, text: { contextLength, vocabSize, layers: 1 } };
  const coca = modelConfig('coca_ViT-Nano-16-64', { ...small, decoder: { layers: 1 } });
  const generator = new RandomStreams({ seed: 5 }).get('init');
  for (const [name, config] of [
    ['tiny/model', coca],
    ['silent', modelConfig('ViT-Nano-16-64', small)],
  ] as const) {
    const model = createModel(config, { generator });
    await saveModel(at(name), { config, model, tokenizer, preprocess: preprocessFor(64) });
    model.dispose();
  }
});
after(() => rm(cwd, { recursive: true }));

/** Captions the shapes; the lines of the file by key. */
async function caption(
  out: string,
  {
    count = 3,
    seed = 0,
    limit = 6,
    ...options
  }: CocaCaptionerOptions & { count?: number; seed?: number; limit?: number } = {},
): Promise<Map<string, string>> {
  const source = await openSource(`folder:${at('shapes')}`);
  const captioner = await loadCocaCaptioner(at('tiny/model'), options);
  await captionSource(source, captioner, { out: at(out), count, seed, limit });
  const lines = read(out).trimEnd().split('\n').slice(1);
  return new Map(lines.map((line) => [(JSON.parse(line) as { key: string }).key, line]));
}

describe('captions by a CoCa model', () => {
  it('are several for each image, named by their model', async () => {
    const args = ['data', 'caption', '--data', 'folder:shapes', '--model', 'tiny/model'];
    const summary = (await bantamJson([...args, '--out', 'cli.jsonl'], {
      cwd,
      env,
    })) as CaptionSummary;
    assert.deepEqual(
      [summary.captioner, summary.written, summary.images, summary.skipped],
      ['coca:tiny', 24, 24, []],
    );
    assert.ok(summary.captions > 60, String(summary.captions));
    const [header = '', first = ''] = read('cli.jsonl').split('\n');
    assert.match(
      header,
      /"settings":{"count":3,"seed":0,"weights":"[0-9a-f]{16}","method":"sample","temperature":1,"topK":0,"topP":0\.9}/,
    );
    assert.match(
      first,
      /^{"key":"blue bar\/0\.png","captions":\[{"text":".+","source":"coca:tiny"}/,
    );
    await expectFailure([...args, '--out', 'x.jsonl', '--prompt', 'What?'], {
      status: 2,
      message: /--prompt belongs to --endpoint, not to --model/,
      cwd,
      env,
    });
  });

  it('are the same wherever the run was interrupted, and others with another seed', async () => {
    // Sixteen images are captioned together.
    const whole = await caption('whole.jsonl', { limit: 20 });
    await caption('parts.jsonl', { limit: 2 });
    truncateSync(at('parts.jsonl'), read('parts.jsonl').length - 20);
    await caption('parts.jsonl', { limit: 17 });
    await caption('parts.jsonl', { limit: 20 });
    assert.equal(read('parts.jsonl'), read('whole.jsonl'));
    const other = await caption('other.jsonl', { seed: 1, limit: 20 });
    assert.ok([...whole].filter(([key, line]) => other.get(key) === line).length < 2);
  });

  it('are the best by beam search, and a single one if greedy', async () => {
    const beams = await caption('beam.jsonl', { method: 'beam', limit: 2 });
    assert.equal(beams.size, 2);
    const greedy = await caption('greedy.jsonl', { method: 'greedy', count: 1, limit: 2 });
    for (const line of greedy.values()) assert.equal(line.split('"text"').length, 2);
    await assert.rejects(
      () => caption('bad.jsonl', { method: 'greedy', count: 2 }),
      /greedy search finds one caption, not 2; ask for 1, or choose sample or beam/,
    );
  });

  it('refuse options of another method', async () => {
    const load = (options: CocaCaptionerOptions) => loadCocaCaptioner(at('tiny/model'), options);
    await assert.rejects(
      () => load({ beams: 3 }),
      /Beams belong to the method "beam", not to "sam/,
    );
    await assert.rejects(() => load({ method: 'beam', topP: 0.5 }), /belong to sampling/);
  });

  it('need a model with a decoder', async () => {
    await assert.rejects(() => loadCocaCaptioner(at('silent')), /silent" has no decoder/);
    await assert.rejects(() => loadCocaCaptioner(at('shapes')), /shapes has no open_clip_config/);
  });
});
