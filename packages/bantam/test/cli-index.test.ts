import assert from 'node:assert/strict';
import {
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { loadSafetensors } from '@bantam/torch';
import { bantam, bantamJson, expectFailure, start } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
const options = { cwd, env: { OMP_NUM_THREADS: '1', BANTAM_CACHE: join(cwd, 'cache') } };
const at = (path: string): string => join(cwd, path);
const total = 1600;

interface Summary {
  readonly size: number;
  readonly added: number;
  readonly changed: number;
  readonly dropped: number;
  readonly unchanged: number;
}

interface Found {
  readonly results: { key: string; score: number; caption?: string }[];
}

before(async () => {
  await drawShapes(at('shapes'), { each: 4 });
  const run = ['--data', 'folder:shapes', '--out', 'run', '--budget', '960samples'];
  await bantamJson(['train', ...tinyModel, ...run], options);
  mkdirSync(at('many'));
  for (let i = 0; i < total; i++) {
    linkSync(at(`shapes/red circle/${i % 4}.png`), at(`many/${String(i).padStart(4, '0')}.png`));
  }
  const rows = ['red circle', 'blue bar', 'green pillar'].flatMap((name, kind) =>
    [0, 1, 2, 3].map((i) => `shapes/${name}/${i}.png,a ${name},${10 * kind + i}`),
  );
  writeFileSync(at('products.csv'), ['image,caption,price', ...rows].join('\n'));
});
after(() => rm(cwd, { recursive: true }));

/** Rows that an index has committed. */
function committed(folder: string): number {
  const path = at(join(folder, 'index.json'));
  if (!existsSync(path)) return 0;
  return (JSON.parse(readFileSync(path, 'utf8')) as { rows: number }).rows;
}

/** Runs a command and kills it as soon as the folder has some rows; the rows that are left. */
async function killAfterCommit(args: readonly string[], folder: string): Promise<number> {
  const { process, ended } = start(args, options);
  while (committed(folder) === 0 && process.exitCode === null) await setTimeout(5);
  process.kill('SIGKILL');
  assert.equal((await ended).status, null, 'it was killed before it had ended');
  return committed(folder);
}

describe('bantam index', () => {
  const build = ['index', 'big', '--model', 'run/model', '--data', 'images:many?caption=none'];

  it('resumes after SIGKILL from its last commit, with nothing lost', async () => {
    const left = await killAfterCommit(build, 'big');
    assert.ok(left > 0 && left < total, `${left} rows were committed`);
    const again = (await bantamJson(build, options)) as Summary;
    assert.equal(again.size, total);
    assert.ok(again.unchanged >= left);
    assert.equal(again.added, total - again.unchanged);
    assert.equal(readFileSync(at('big/images-1.f32')).length, total * 64 * 4);
  });

  it('knows its model and data, builds a graph on demand, and finds through it', async () => {
    rmSync(at('many/0000.png'));
    const args = ['index', 'big', '--kind', 'graph'];
    const summary = (await bantamJson(args, options)) as Summary & { graph: { rows: number } };
    assert.deepEqual([summary.dropped, summary.size, summary.unchanged], [1, total - 1, total - 1]);
    assert.equal(summary.graph.rows, total);
    const search = ['search', '--index', 'big', '--image', 'shapes/red circle/1.png'];
    const { results } = (await bantamJson(search, options)) as Found;
    assert.equal(results.length, 8);
    for (const { score } of results) assert.ok(score > 0.9999);
    const duplicates = ['duplicates', '--index', 'big', '--above', '0.9999', '--seconds', '20'];
    const { groups } = (await bantamJson(duplicates, options)) as { groups: string[][] };
    assert.equal(groups[0]?.length, total / 4);
  });

  it('says how to get usearch where it is missing, and finds without it', async () => {
    const hook = `export async function resolve(name, context, next) {
      if (name === 'usearch') throw new Error('not installed');
      return next(name, context);
    }`;
    const url = `data:text/javascript,${encodeURIComponent(hook)}`;
    const register = `import { register } from 'node:module'; register(${JSON.stringify(url)});`;
    writeFileSync(at('hide.mjs'), register);
    const env = { ...options.env, NODE_OPTIONS: `--import ${at('hide.mjs')}` };
    const search = ['search', '--index', 'big', '--like', '0001.png'];
    await expectFailure(search, { status: 1, message: /npm install usearch@/, cwd, env });
    const { results } = (await bantamJson([...search, '--exact'], { cwd, env })) as Found;
    assert.equal(results.length, 8);
  });

  it('says what it did', async () => {
    const { stdout, status } = await bantam(['index', 'shop', ...shop], options);
    assert.equal(status, 0);
    assert.match(stdout, /^Indexed 12 images in 64 dimensions: shop$/m);
    assert.match(stdout, /^12 added, 0 changed, .* 0 dropped, 0 unchanged\.$/m);
    // Of twelve images with three captions 96 pairs are unrelated, too few for one in a hundred.
    assert.doesNotMatch(stdout, /Scores/);
    const large = await bantam(['index', 'big'], options);
    assert.match(
      large.stdout,
      /^Scores that images without relation to a query pass at these rates; "bantam search --false-positives RATE" leaves out what is below:\n +0\.01 +0\.001 +0\.0001\nimage query( +1\.000){3}$/m,
    );
  });

  it('finds an example whose name has accents, composed or not', async () => {
    mkdirSync(at('accents'));
    const [composed, decomposed] = ['caf\u00e9.png', 'cafe\u0301.png'];
    cpSync(at('shapes/red circle/0.png'), at(`accents/${decomposed}`));
    cpSync(at('shapes/blue bar/0.png'), at('accents/bar.png'));
    const data = ['--data', 'images:accents?caption=none'];
    await bantamJson(['index', 'accented', '--model', 'run/model', ...data], options);
    for (const query of [
      ['--like', composed],
      ['--like', decomposed],
      ['--image', `accents/${composed}`],
    ]) {
      const search = ['search', '--index', 'accented', '--top', '1', ...query];
      const { results } = (await bantamJson(search, options)) as Found;
      assert.equal(results[0]?.key, decomposed);
    }
  });

  it('finds its data from another folder, where others may have the same name', async () => {
    mkdirSync(at('elsewhere'));
    writeFileSync(at('elsewhere/products.csv'), 'image,caption\n../shapes/blue bar/0.png,bar\n');
    const elsewhere = { ...options, cwd: at('elsewhere') };
    await bantamJson(['index', 'moved', ...shop], options);
    const again = (await bantamJson(['index', '../moved'], elsewhere)) as Summary;
    assert.deepEqual([again.size, again.unchanged, again.dropped], [12, 12, 0]);
  });
});

const shop = ['--model', 'run/model', '--data', 'csv:products.csv'];

describe('bantam search', () => {
  const find = async (...args: string[]): Promise<Found['results']> =>
    ((await bantamJson(['search', '--index', 'shop', ...args], options)) as Found).results;

  it('takes conditions, parts with weights, and what results shall not be like', async () => {
    const all = await find('a red circle', '--top', '12');
    assert.equal(all.length, 12);
    const cheap = await find('a red circle', '--where', 'price<11', '--where', 'caption~bar');
    assert.deepEqual(
      cheap.map(({ key }) => key),
      ['shapes/blue bar/0.png'],
    );
    const printed = async (...args: string[]): Promise<string> =>
      (await bantam(['search', '--index', 'shop', ...args], options)).stdout;
    const asked = await printed('a red circle', '--columns', 'price,caption', '--top', '3');
    assert.match(asked, /^ +price +caption\n0\.\d{3} +shapes\/[a-z ]+\/\d\.png +\d+ +a [a-z ]+\n/);
    const named = await printed('a red circle', '--where', 'price<11', '--where', 'caption~bar');
    assert.match(named, /^ +price\n0\.\d{3} +shapes\/blue bar\/0\.png +10 +a blue bar\n/);
    const like = await find('--like', 'shapes/blue bar/2.png@0.5', '--top', '1');
    assert.equal(like[0]?.key, 'shapes/blue bar/2.png');
    const mean = (results: Found['results'], name: string): number => {
      const positions = results.flatMap(({ key }, place) => (key.includes(name) ? [place] : []));
      return positions.reduce((sum, place) => sum + place, 0) / positions.length;
    };
    const avoided = await find(
      'a red circle',
      '--not-image',
      'shapes/red circle/0.png@2',
      '--top',
      '12',
    );
    assert.ok(mean(avoided, 'red circle') > mean(all, 'red circle'));
    assert.equal((await find('a red circle', '--min-score', '1.1')).length, 0);
  });

  it('refuses in one sentence another model, unknown columns, and queries of nothing', async () => {
    cpSync(at('run/model'), at('other'), { recursive: true });
    const weights = at('other/open_clip_model.safetensors');
    const bytes = readFileSync(weights);
    const last = bytes.length - 4;
    bytes.writeUInt8(bytes.readUInt8(last) ^ 1, last);
    writeFileSync(weights, bytes);
    const fails = (args: string[], message: RegExp, status: 1 | 2 = 1) =>
      expectFailure(args, { status, message, ...options });
    const search = ['search', '--index', 'shop'];
    await Promise.all([
      fails([...search, '--model', 'other', 'a circle'], /made with another model/),
      fails(['index', 'shop', '--model', 'other'], /made with another model/),
      fails([...search, 'a circle', '--where', 'pryce<3'], /did you mean "price"/),
      fails([...search, 'a circle', '--where', 'price'], /COLUMN=VALUE/, 2),
      fails([...search, 'a circle', '--columns', 'pryce'], /did you mean "price"/),
      fails(search, /Say what to search for/, 2),
      fails([...search, '--not', 'a circle'], /Say what to search for/, 2),
      fails([...search, '--image', 'products.csv'], /products\.csv cannot be read as an image/),
      fails(['index', 'new'], /--model DIR --data SPEC/, 2),
    ]);
    assert.ok(!existsSync(at('new')));
  });
});

describe('bantam embed', () => {
  const embed = ['embed', '--model', 'run/model', '--data', 'images:many?caption=none'];
  const out = ['--out', 'many.safetensors'];

  it('resumes after SIGKILL, and writes images alone if there are no captions', async () => {
    const left = await killAfterCommit([...embed, ...out], 'many.safetensors.partial');
    assert.ok(!existsSync(at('many.safetensors')));
    const again = (await bantamJson([...embed, ...out], options)) as Summary;
    assert.equal(again.size, total - 1);
    assert.ok(again.unchanged >= left && again.unchanged < total - 1);
    const { tensors } = loadSafetensors(at('many.safetensors'));
    assert.deepEqual([...tensors.keys()], ['image']);
    assert.deepEqual(tensors.get('image')?.shape, [total - 1, 64]);
    assert.deepEqual(
      readdirSync(cwd).filter((name) => name.includes('.partial')),
      [],
    );
    const last = (await bantamJson([...embed, ...out], options)) as Summary;
    assert.deepEqual([last.added, last.unchanged], [0, total - 1]);
  });
});
