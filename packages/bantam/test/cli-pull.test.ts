import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Generator, loadSafetensors, saveSafetensors } from '@bantam/torch';
import { createModel, modelConfig, preprocessOf, saveModel } from '../dist/models/index.js';
import { LoopbackHub, sha256 } from '../dist/test-support/loopback-hub.js';
import { writeImages } from '../dist/test-support/image-folders.js';
import { bantam, start } from './bantam.js';

const NAME = 'hf:owner/tiny';

let hub: LoopbackHub;
let root: string;
let cache: string;
let weights: Buffer;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'bantam-pull-'));
  hub = await LoopbackHub.start();
  const config = modelConfig('ViT-Nano-16-64', { text: { vocabSize: 49408, width: 64, heads: 1 } });
  const model = createModel(config, { generator: new Generator({ seed: 3 }) });
  await saveModel(join(root, 'model'), { config, model, preprocess: preprocessOf(config) });
  const names = await readdir(join(root, 'model'));
  const files = await Promise.all(names.map((name) => readFile(join(root, 'model', name))));
  hub.put('owner/tiny', {
    files: Object.fromEntries(names.map((name, i) => [name, files[i] ?? assert.fail()])),
  });
  weights = await readFile(join(root, 'model', 'open_clip_model.safetensors'));
  await writeImages(join(root, 'photos'), 2);
});
after(async () => {
  await hub.stop();
  await rm(root, { recursive: true });
});
beforeEach(async () => {
  cache = await mkdtemp(join(root, 'cache-'));
  hub.misbehave = () => false;
  hub.requests.length = 0;
});

const env = (more: NodeJS.ProcessEnv = {}) => ({
  HF_ENDPOINT: hub.endpoint,
  HF_HUB_CACHE: cache,
  HF_TOKEN: '',
  HF_HUB_OFFLINE: '',
  BANTAM_OFFLINE: '',
  ...more,
});

const blobs = () => readdir(join(cache, 'models--owner--tiny', 'blobs'));
const weightRequests = () => hub.downloads.filter(({ path }) => path === `/${sha256(weights)}`);

/** Sends half of the weights, and then nothing more. */
function stallHalfway(): void {
  hub.misbehave = (request, response) => {
    if (request.path !== `/${sha256(weights)}` || request.range !== undefined) return false;
    response.setHeader('content-length', String(weights.length));
    response.write(weights.subarray(0, weights.length / 2));
    return true;
  };
}

/** Waits until the incomplete file has bytes. */
async function untilHalf(): Promise<void> {
  const path = join(cache, 'models--owner--tiny/blobs', `${sha256(weights)}.bantam.incomplete`);
  for (let i = 0; i < 500; i++) {
    if (((await stat(path).catch(() => null))?.size ?? 0) > weights.length / 4) return;
    await sleep(20);
  }
  assert.fail('Nothing arrived.');
}

describe('bantam models pull', () => {
  it('fetches a model, which then works offline wherever a model is named', async () => {
    const pulled = await bantam(['models', 'pull', NAME, '--json'], { env: env() });
    assert.equal(pulled.status, 0, pulled.stderr);
    const { fetched } = JSON.parse(pulled.stdout) as { fetched: string[] };
    assert.equal(fetched.at(-1), 'open_clip_model.safetensors');
    const again = await bantam(['models', 'pull', NAME], { env: env() });
    assert.match(again.stdout, /^hf:owner\/tiny \(commit [0-9a-f]{12}\) is up to date: /);

    hub.requests.length = 0;
    const offline = { env: env({ BANTAM_OFFLINE: '1' }) };
    const out = join(root, 'x.safetensors');
    const data = `folder:${join(root, 'photos')}`;
    const embedded = await bantam(
      ['embed', '--model', NAME, '--data', data, '--out', out],
      offline,
    );
    assert.equal(embedded.status, 0, embedded.stderr);
    const found = await bantam(['search', '--index', out, 'something red'], offline);
    assert.equal(found.status, 0, found.stderr);
    const converted = await bantam(['models', 'convert', NAME, '--to', 'open-clip', '--context-length', '20', '--image-size', '96', '--out', join(root, 'converted')], offline); // prettier-ignore
    assert.equal(converted.status, 0, converted.stderr);
    assert.deepEqual(hub.requests, []);
  });

  it('killed in the middle, leaves nothing half, and resumes at the next call', async () => {
    stallHalfway();
    const run = start(['models', 'pull', NAME], { env: env() });
    await untilHalf();
    run.process.kill('SIGKILL');
    await run.ended;
    assert.ok(!(await blobs()).includes(sha256(weights)));
    const offline = await bantam(['models', 'show', NAME], { env: env({ HF_HUB_OFFLINE: '1' }) });
    assert.equal(offline.status, 1);
    assert.match(
      offline.stderr,
      /is not complete in .*, and BANTAM_OFFLINE or HF_HUB_OFFLINE forbids/,
    );

    const { status, stderr } = await bantam(['models', 'pull', NAME], { env: env() });
    assert.equal(status, 0, stderr);
    assert.match(weightRequests().at(-1)?.range ?? '', /^bytes=[1-9]\d*-$/);
    assert.deepEqual(
      await readFile(join(cache, 'models--owner--tiny/blobs', sha256(weights))),
      weights,
    );
    assert.ok(!(await blobs()).some((file) => file.includes('incomplete')));
  });

  it('in two processes at once, fetches once, and the second says that it waits', async () => {
    stallHalfway();
    const first = start(['models', 'pull', NAME], { env: env({ HF_HUB_DOWNLOAD_TIMEOUT: '2' }) });
    await untilHalf();
    const second = start(['models', 'pull', NAME], { env: env() });
    await second.printed(/waiting {2}process \d+ fetches the same model/);
    const results = await Promise.all([first.ended, second.ended]);
    assert.deepEqual(
      results.map(({ status }) => status),
      [0, 0],
    );
    assert.match(results[1].stdout, /is up to date/);
    // The second request of the first process resumed what stalled.
    assert.deepEqual(
      weightRequests().map(({ range }) => range === undefined),
      [true, false],
    );
  });

  it('names what is wrong with a name', async () => {
    const cases: [string, RegExp][] = [
      [
        'hf:owner/none',
        /^error: 127\.0\.0\.1:\d+ has no owner\/none at main \(404\): check the name\.$/m,
      ],
      ['hf:none', /write it hf:owner\/name/],
      ['ViT-B-32/opennai', /did you mean "openai"\?/],
      ['runs/none', /There is no folder or file runs\/none; name a model directory/],
      [join(root, 'model'), /is on this machine already/],
    ];
    for (const [name, message] of cases) {
      const { status, stderr } = await bantam(['models', 'pull', name], { env: env() });
      assert.notEqual(status, 0, name);
      assert.match(stderr, message);
    }
  });
});

describe('an adapter of the Hub', () => {
  const filesOf = async (folder: string): Promise<Record<string, Buffer>> => {
    const names = await readdir(folder);
    const files = await Promise.all(names.map((name) => readFile(join(folder, name))));
    return Object.fromEntries(names.map((name, i) => [name, files[i] ?? assert.fail()]));
  };
  let count = 0;
  const features = async (model: string, more: NodeJS.ProcessEnv = {}): Promise<number[][]> => {
    const out = join(root, `features-${count++}.safetensors`);
    const args = ['embed', '--model', model, '--data', `folder:${join(root, 'photos')}`];
    const { status, stderr } = await bantam([...args, '--out', out], { env: env(more) });
    assert.equal(status, 0, stderr);
    const { tensors } = loadSafetensors(out);
    return ['image', 'text'].map((name) =>
      Array.from((tensors.get(name) ?? assert.fail()).toTypedArray(), Number),
    );
  };

  it('is trained by LoRA on a published model, and works by its own name', async () => {
    const run = join(root, 'tuned');
    const settings = ['fineTune.save=adapter', 'fineTune.rank=2', 'train.lr=0.05', 'train.batchSize=4']; // prettier-ignore
    const trained = await bantam(
      [
        ...['train', '--init', NAME, '--data', `folder:${join(root, 'photos')}`, '--out', run],
        ...['--fine-tune', 'lora', '--budget', '8samples', '--json'],
        ...settings.flatMap((setting) => ['--set', setting]),
      ],
      { env: env() },
    );
    assert.equal(trained.status, 0, trained.stderr);
    assert.equal((JSON.parse(trained.stdout) as { steps: number }).steps, 2);
    const adapter = await filesOf(join(run, 'model'));
    const config = JSON.parse(String(adapter['adapter_config.json'])) as Record<string, unknown>;
    assert.deepEqual([config.base_model_name_or_path, config.revision], ['owner/tiny', null]);
    const own = await features(run);
    assert.notDeepEqual(own, await features(NAME));
    const data = ['--data', `folder:${join(root, 'photos')}`, '--tasks', 'zero-shot'];
    const evaluated = await bantam(['eval', '--model', run, ...data, '--json'], { env: env() });
    assert.equal(evaluated.status, 0, evaluated.stderr);
    assert.match(evaluated.stdout, /"acc1": [\d.]+/);

    hub.put('owner/adapter', { files: adapter });
    cache = await mkdtemp(join(root, 'cache-'));
    const pulled = await bantam(['models', 'pull', 'hf:owner/adapter'], { env: env() });
    assert.equal(pulled.status, 0, pulled.stderr);
    assert.match(
      pulled.stdout,
      /^hf:owner\/adapter \(commit \w+\) fetched .*adapter_model\.safetensors: .*\nhf:owner\/tiny \(commit \w+\) fetched .*open_clip_model\.safetensors: /,
    );
    hub.requests.length = 0;
    assert.deepEqual(await features('hf:owner/adapter', { BANTAM_OFFLINE: '1' }), own);
    assert.deepEqual(hub.requests, []);

    // As PEFT saves it, without a description of the model.
    const { 'adapter_config.json': description, 'adapter_model.safetensors': changes } = adapter;
    assert.ok(description !== undefined && changes !== undefined);
    const plain = { 'adapter_config.json': description, 'adapter_model.safetensors': changes };
    hub.put('owner/plain', { files: plain });
    assert.deepEqual(await features('hf:owner/plain'), own);
  });

  it('whose base model is the adapter itself is refused', async () => {
    const folder = join(root, 'circle');
    await mkdir(folder);
    const config = { peft_type: 'LORA', r: 2, lora_alpha: 2, base_model_name_or_path: '.' };
    await writeFile(join(folder, 'adapter_config.json'), JSON.stringify(config));
    await writeFile(join(folder, 'adapter_model.safetensors'), '');
    const { status, stderr } = await bantam(['models', 'show', folder], { env: env() });
    assert.equal(status, 1);
    assert.match(stderr, /^error: The base model of the adapter .*circle is that adapter itself/m);
  });
});

describe('bantam models list --pretrained', () => {
  it("lists OpenCLIP's weights by name", async () => {
    const { status, stdout } = await bantam(['models', 'list', '--pretrained', 'vit-b-32/laion2b']);
    assert.equal(status, 0);
    assert.match(
      stdout,
      /^ViT-B-32\/laion2b_s34b_b79k +hf:laion\/CLIP-ViT-B-32-laion2B-s34B-b79K +GELU +yes$/m,
    );
  });
});

describe('a file of weights', () => {
  it('is a model with ?model=, and refused without, as its activation cannot be told', async () => {
    const file = join(root, 'alone', 'open_clip_model.safetensors');
    const config = modelConfig('ViT-Nano-16-64');
    const model = createModel(config, { generator: new Generator({ seed: 4 }) });
    await mkdir(join(root, 'alone'));
    saveSafetensors(file, model.stateDict());
    for (const name of [file, join(root, 'alone')]) {
      const { status, stderr } = await bantam(['models', 'convert', name, '--to', 'open-clip', '--out', join(root, 'no')]); // prettier-ignore
      assert.equal(status, 1);
      assert.match(
        stderr,
        /name (it|its architecture): ".*open_clip_model\.safetensors\?model=PRESET"/,
      );
    }
    const out = join(root, 'yes');
    const { status, stderr } = await bantam(['models', 'convert', `${file}?model=ViT-Nano-16-64`, '--to', 'open-clip', '--out', out]); // prettier-ignore
    assert.equal(status, 0, stderr);
    assert.ok(existsSync(join(out, 'open_clip_config.json')));
  });

  it('that is a pickle with code in it is refused by the name of what it asks for', async () => {
    const path = join(root, 'code.pt');
    await writeFile(path, await readFile(new URL('../fixtures/pickles/code.pt', import.meta.url)));
    const { status, stderr } = await bantam(['models', 'convert', `${path}?model=ViT-B-32`, '--to', 'open-clip', '--out', join(root, 'no')]); // prettier-ignore
    assert.equal(status, 1);
    assert.match(stderr, /^error: .*code\.pt asks for posix\.system and is not read/m);
  });
});
