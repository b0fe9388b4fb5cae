import assert from 'node:assert/strict';
import { cpSync, existsSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { bantamJson, expectFailure } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1', BANTAM_CACHE: join(cwd, 'cache') };
const at = (path: string): string => join(cwd, path);

function fails(args: string[], message: RegExp, status: 1 | 2 = 1): Promise<void> {
  return expectFailure(args, { status, message, cwd, env });
}

/** `bantam train` with one of its options changed. */
function training(change: Partial<Record<'model' | 'data' | 'out' | 'budget', string>>): string[] {
  const options = { data: 'folder:shapes', out: 'new', budget: '48samples', ...change };
  const named = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  return ['train', ...tinyModel, ...named];
}

function validation(data: string, metric = 'image_retrieval_recall@1'): string[] {
  return ['--validate', data, '--set', `validation.metric=${metric}`];
}

before(async () => {
  await drawShapes(at('shapes'), { each: 4 });
  await bantamJson(training({ out: 'run' }), { cwd, env });
});
after(() => rm(cwd, { recursive: true }));

describe('bad data', () => {
  it('is named in one sentence', async () => {
    mkdirSync(at('empty'));
    writeFileSync(at('header.csv'), 'image,caption\n');
    writeFileSync(at('pairs.csv'), 'image,caption\nshapes/red circle/0.png,a circle\n');
    await Promise.all([
      fails(training({ data: 'folder:nowhere' }), /folder "nowhere" cannot be read/),
      fails(training({ data: 'folder:empty' }), /"empty" has no images/),
      fails(training({ data: 'csv:header.csv' }), /header\.csv" is empty|no rows/),
      fails(training({ data: 'csv:nowhere.csv' }), /"nowhere\.csv" cannot be read/),
      fails(['data', 'inspect', 'csv:pairs.csv?caption=titel'], /no caption column "titel"/),
      fails(['data', 'inspect', 'emojis'], /no data "emojis" \(did you mean "emoji"\?\)/),
      fails(['data', 'inspect', 'emoji'], /run "bantam data get emoji"/),
    ]);
  });
});

describe('bad training options', () => {
  it('are named in one sentence, and no run is begun', async () => {
    writeFileSync(at('file'), '');
    await Promise.all([
      fails(training({ model: 'ViT-Pyco-8-64' }), /"ViT-Pyco-8-64" \(did you mean "ViT-Pico-8-64"/),
      fails(training({ budget: '0' }), /budget '0' leaves nothing to train with/, 2),
      fails(training({ budget: 'soon' }), /budget 'soon' cannot be read/, 2),
      fails(
        [...training({}), '--set', 'train.lrr=1'],
        /'train\.lrr' \(did you mean "train\.lr"/,
        2,
      ),
      fails([...training({}), '--strategy', 'clap'], /strategy.*clap/, 2),
      fails(
        [...training({}), '--teacher', 'run/model'],
        /^error: The strategy 'clip' has no teachers; leave out --teacher, or choose --strategy distill or siclip\.$/m,
        2,
      ),
      fails(
        [...training({}), '--strategy', 'distill', '--teacher', 'run/model', '--teacher', 'gone'],
        /The strategy 'distill' cannot use the model in gone\. There is no folder or file gone/,
      ),
      fails(
        [...training({}), '--set', 'init.modle=run'],
        /'init\.modle' \(did you mean "init\.model"/,
        2,
      ),
      fails(
        [...training({}), '--set', 'train.lr=fast'],
        /'train\.lr' is "fast"; it must be a number of at least 0/,
        2,
      ),
      fails([...training({}), '--patience', '3'], /no data .* name them with --validate SPEC/, 2),
      fails([...training({}), ...validation('folder:nowhere')], /"nowhere" cannot be read/),
      fails(
        [...training({}), ...validation('folder:shapes', 'acc2')],
        /"acc2".* the metrics are acc1,/,
        2,
      ),
      fails([...training({}), ...validation('csv:shapes/pairs.csv', 'acc1')], /has no classes/),
      fails(['train', '--resume=run', '--validate=folder:shapes'], /leave out --validate/, 2),
      fails(training({ out: 'file/run' }), /file\/run cannot be written/),
      fails(training({ out: '/proc/run' }), /\/proc\/run cannot be written/),
      fails(['train', '--resume', 'nowhere'], /no run to resume in nowhere/),
      fails(['quickstart', '--budget', '0'], /budget '0' leaves nothing/, 2),
    ]);
    await assert.rejects(() => rm(at('new/config.json')), /ENOENT/);
  });
});

describe('a training that diverges', () => {
  it('ends in one sentence that names the batch and the remedy', async () => {
    const rate = ['train.lr=1e30', 'train.warmup=0'].flatMap((setting) => ['--set', setting]);
    await fails(
      [...training({ out: 'diverged', budget: '480samples' }), ...rate],
      /stopped at step 2: .* lower train\.lr, or without the samples that diverged\/non-finite\.jsonl names\.$/,
    );
    const lines = readFileSync(at('diverged/non-finite.jsonl'), 'utf8').trim().split('\n');
    assert.equal((JSON.parse(String(lines.at(-1))) as { keys: string[] }).keys.length, 24);
    assert.deepEqual(
      ['model', 'checkpoints'].filter((name) => existsSync(at(join('diverged', name)))),
      [],
    );
  });
});

describe('bad models', () => {
  const weights = 'open_clip_model.safetensors';
  const config = 'open_clip_config.json';
  const evaluate = (model: string): string[] => ['eval', '--model', model, '--data=folder:shapes'];

  before(() => {
    for (const name of ['short', 'garbled', 'other', 'hollow']) {
      cpSync(at('run/model'), at(name), { recursive: true });
    }
    truncateSync(at(join('short', weights)), 5000);
    writeFileSync(at(join('garbled', weights)), 'this is no safetensors file at all');
    const other = readFileSync(at(join('other', config)), 'utf8');
    writeFileSync(at(join('other', config)), other.replaceAll('"width": 64', '"width": 32'));
  });

  it('are named in one sentence', async () => {
    await rm(at(join('hollow', weights)));
    await Promise.all([
      fails(evaluate('nowhere'), /no folder or file nowhere/),
      fails(evaluate('shapes'), /shapes has no open_clip_config\.json/),
      fails(evaluate('hollow'), /hollow has no open_clip_model\.safetensors/),
      fails(evaluate('short'), /short\/open_clip_model\.safetensors/),
      fails(evaluate('garbled'), /garbled\/open_clip_model\.safetensors/),
      fails(evaluate('other'), /other.*open_clip_model\.safetensors.*\[/),
      fails([...evaluate('run/model'), '--tasks', 'zeroshot'], /did you mean "zero-shot"/, 2),
    ]);
  });

  it('and bad files to search in or to write are as well', async () => {
    const embed = ['embed', '--model', 'run/model', '--data', 'folder:shapes', '--out'];
    await Promise.all([
      fails([...embed, 'file/features.safetensors'], /file\/features\.safetensors/),
      fails(['search', 'happy cat'], /run "bantam quickstart"/),
      fails(['search', '--index', 'nowhere.safetensors', 'cat'], /nowhere\.safetensors/),
      fails(
        ['search', '--index', join('run/model', weights), 'cat'],
        /make it with "bantam embed"/,
      ),
    ]);
  });
});
