import assert from 'node:assert/strict';
import { existsSync, truncateSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { ShardsSummary, SourceSummary } from '../src/data/index.js';
import { bantam, bantamJson, expectFailure, start } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1', BANTAM_CACHE: join(cwd, 'cache') };
const at = (path: string): string => join(cwd, path);
const pack = ['data', 'pack', 'folder:shapes', '--out', 'shards', '--shard-size', '10'];

before(() => drawShapes(at('shapes'), { each: 4 }));
after(() => rm(cwd, { recursive: true }));

describe('bantam data pack', () => {
  it('makes shards that can be inspected and trained on', async () => {
    const packed = (await bantamJson(pack, { cwd, env })) as ShardsSummary;
    const shown = (await bantamJson(['data', 'inspect', packed.spec], {
      cwd,
      env,
    })) as SourceSummary;
    const folder = (await bantamJson(['data', 'inspect', 'folder:shapes'], {
      cwd,
      env,
    })) as SourceSummary;
    // The folder also holds a table, which its notes count.
    assert.deepEqual(
      folder.notes.map(({ message }) => message),
      ['1 .csv file is left out.'],
    );
    assert.deepEqual({ ...shown, spec: folder.spec, notes: folder.notes }, folder);
    const train = ['train', ...tinyModel, '--data', packed.spec, '--out', 'run'];
    await bantamJson([...train, '--budget', '48samples'], { cwd, env });
    assert.ok(existsSync(at('run/model/open_clip_config.json')));
  });

  it('writes what is missing after it was ended', async () => {
    const args = [...pack.slice(0, 4), 'killed', ...pack.slice(5)];
    const first = start(args, { cwd, env });
    await first.printed(/writing shards/);
    first.process.kill('SIGKILL');
    await first.ended;
    const { kept, shards, broken } = (await bantamJson(args, { cwd, env })) as ShardsSummary;
    assert.ok(kept <= shards);
    assert.deepEqual(broken, []);
    const { records, notes } = (await bantamJson(['data', 'inspect', 'wds:killed'], {
      cwd,
      env,
    })) as SourceSummary;
    const folder = (await bantamJson(['data', 'inspect', 'folder:shapes'], {
      cwd,
      env,
    })) as SourceSummary;
    assert.deepEqual([records, notes], [folder.records, []]);
  });

  it('is told of a damaged shard, and refuses what cannot be', async () => {
    await bantamJson([...pack.slice(0, 4), 'cut', ...pack.slice(5)], { cwd, env });
    truncateSync(at('cut/00001.tar'), 7000);
    const { stdout, stderr } = await bantam(['data', 'inspect', 'wds:cut'], { cwd, env });
    assert.match(stdout, /The shard "cut\/00001\.tar" is damaged \(it ends at byte 7000/, stderr);
    writeFileSync(at('file'), '');
    const fails = (args: string[], message: RegExp, status: 1 | 2 = 1): Promise<void> =>
      expectFailure(args, { status, message, cwd, env });
    await Promise.all([
      fails(['data', 'pack', 'folder:shapes', '--out', 'file'], /"file" for shards cannot be made/),
      fails(['data', 'pack', 'folder:shapes', '--out', 'cut'], /holds shards of other data/),
      fails(['data', 'pack', 'folder:shapes'], /--out/, 2),
      fails([...pack.slice(0, -1), '0'], /whole number above 0/, 2),
      fails(['data', 'inspect', 'wds:file'], /"file" holds no whole sample: it is empty/),
      fails(['data', 'inspect', 'wds:gone-{0..2}.tar'], /3 of 3 shards are missing: "gone-0\.tar"/),
    ]);
  });
});
