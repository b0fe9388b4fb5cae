import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ReinforceSummary } from '../src/train/index.js';
import { bantam, bantamJson, expectFailure, start } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1', BANTAM_CACHE: join(cwd, 'cache') };
const at = (path: string): string => join(cwd, path);
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const student = ['--data=csv:shapes/pairs.csv', ...tinyModel, '--set', 'train.batchSize=12'];

/** `bantam data reinforce` of the 24 shapes, two records in a file. */
function reinforcing(out: string): string[] {
  const flags = { data: 'csv:shapes/pairs.csv', teacher: 'teacher/model', out };
  const all = Object.entries({ ...flags, augmentations: 2, captions: 1, block: 2, batch: 2 });
  return ['data', 'reinforce', ...all.map(([name, to]) => `--${name}=${to}`)];
}

const files = (folder: string): Map<string, string> =>
  new Map(
    readdirSync(at(folder))
      .sort()
      .map((name) => [name, readFileSync(join(at(folder), name), 'base64')]),
  );

const blocks = (folder: string): number =>
  existsSync(at(folder))
    ? readdirSync(at(folder)).filter((name) => name.endsWith('.safetensors')).length
    : 0;

before(async () => {
  await drawShapes(at('shapes'), { each: 2 });
  const { status, stderr } = await bantam(
    ['train', ...student, '--out=teacher', '--budget=48samples'],
    { cwd, env },
  );
  assert.equal(status, 0, stderr);
});
after(async () => {
  await rm(cwd, { recursive: true });
});

describe('bantam data reinforce', () => {
  it('makes a set that training needs no teacher for, and says how to use it', async () => {
    const summary = (await bantamJson(reinforcing('whole'), { cwd, env })) as ReinforceSummary;
    const { records, kept, written, interrupted, broken } = summary;
    assert.deepEqual([records, kept, written, interrupted, broken], [24, 0, 24, false, []]);
    await rename(at('teacher'), at('elsewhere'));
    const training = ['train', ...student, '--out=student', '--budget=24samples'];
    const { status, stderr } = await bantam(
      [...training, '--strategy=distill', '--reinforced=whole'],
      { cwd, env },
    );
    assert.equal(status, 0, stderr);
    await rename(at('elsewhere'), at('teacher'));
    const again = await bantam(reinforcing('whole'), { cwd, env });
    assert.equal(
      again.stdout,
      '2 views and 1 caption of 0 records written (24 were there before): whole\nTrain from them with --data "csv:shapes/pairs.csv" --strategy distill --reinforced whole\n',
    );
  });

  it('makes the same set when it is killed, interrupted and run again', async () => {
    for (const [signal, least] of [
      ['SIGKILL', 1],
      ['SIGINT', 3],
    ] as const) {
      const part = start(reinforcing('parts'), { cwd, env });
      while (blocks('parts') < least && part.process.exitCode === null) await sleep(2);
      part.process.kill(signal);
      const { status, stderr } = await part.ended;
      if (signal === 'SIGKILL') continue;
      assert.equal(status, 1, stderr);
      assert.match(stderr, /interrupted after \d+ of 24 records, which are in "parts"; run the/);
    }
    assert.ok(blocks('parts') < 12, 'it ended before it was interrupted');
    const { status, stderr } = await bantam(reinforcing('parts'), { cwd, env });
    assert.equal(status, 0, stderr);
    assert.deepEqual(files('parts'), files('whole'));
  });

  it('refuses what cannot be, in one sentence', async () => {
    const fails = (args: string[], message: RegExp, status: 1 | 2 = 1): Promise<void> =>
      expectFailure(args, { status, message, cwd, env });
    await fails(
      [...reinforcing('none'), '--augment=croop'],
      /There is no augmentation "croop" \(did you mean "crop"\?\)/,
      2,
    );
    await fails(
      ['train', ...student, '--out=none', '--budget=24samples', '--reinforced=whole'],
      /The strategy 'clip' has no teachers; leave out --reinforced, or choose --strategy distill or siclip\./,
      2,
    );
    mkdirSync(at('empty'));
    const training = ['train', ...student, '--out=none', '--budget=24samples'];
    await fails(
      [...training, '--strategy=siclip', '--reinforced=empty'],
      /There is no reinforced set in empty \(no reinforced\.json\); make one with "bantam data/,
    );
    assert.equal(existsSync(at('none')), false);
  });
});
