import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { at, availableDevices, Generator, loadSafetensors } from '@bantam/torch';
import {
  createModel,
  modelConfig,
  preprocessFor,
  saveModel,
  trainTokenizer,
} from 'bantam/experimental';
import { bantam, bantamJson, expectFailure } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1', BANTAM_CACHE: join(cwd, 'cache') };
const data = ['--data', 'folder:shapes'];
const tokenizer = trainTokenizer(['a red circle', 'a green bar'], {
  vocabSize: 540,
  contextLength: 16,
});
const run = [...data, '--budget', '48samples', '--precision', 'fp32'];

before(async () => {
  await drawShapes(join(cwd, 'shapes'), { each: 4 });
  await bantamJson(['train', ...tinyModel, ...run, '--out', 'run', '--device', 'cpu'], {
    cwd,
    env,
  });
});
after(() => rm(cwd, { recursive: true }));

const model = ['--model', 'run/model', ...data];

async function embedded(device: string): Promise<Float32Array> {
  const out = `${device}.safetensors`;
  await bantamJson(['embed', ...model, '--out', out, '--device', device], { cwd, env });
  const image = loadSafetensors(join(cwd, out)).tensors.get('image') ?? assert.fail();
  return image.toTypedArray() as Float32Array;
}

describe('--device', () => {
  it('trains where it says, and says where', async () => {
    const args = ['train', ...tinyModel, ...run, '--out', 'other', '--device', 'emulated'];
    const { status, stderr } = await bantam(args, { cwd, env });
    assert.equal(status, 0, stderr);
    assert.match(stderr, /on 48 samples: emulated:0, fp32, batch/);
    const [own, other] = ['run', 'other'].map((name) => {
      const { tensors } = loadSafetensors(join(cwd, name, 'model/open_clip_model.safetensors'));
      return tensors.get('visual.proj')?.toArray() ?? assert.fail();
    });
    assert.ok(own && other);
    for (const [i, weight] of own.entries()) assert.ok(Math.abs(at(other, i) - weight) < 1e-3);
  });

  it('embeds and evaluates the same on another device', async () => {
    const [cpu, device] = await Promise.all(['cpu', 'emulated'].map(embedded));
    assert.ok(cpu && device);
    assert.equal(device.length, cpu.length);
    for (const [i, value] of cpu.entries()) assert.ok(Math.abs(at(device, i) - value) < 1e-5);
    const results = await Promise.all(
      ['cpu', 'emulated'].map(async (name) => {
        const tasks = ['--tasks', 'zero-shot,retrieval', '--no-cache'];
        const args = ['eval', ...model, ...tasks, '--device', name];
        const results = (await bantamJson(args, { cwd, env })) as { metrics: unknown }[];
        assert.equal(results.length, 2);
        return results.map(({ metrics }) => metrics);
      }),
    );
    assert.deepEqual(results[1], results[0]);
  });

  it('captions, scores and stores teacher embeddings the same on another device', async () => {
    const { contextLength, vocabSize } = tokenizer;
    const size = { vision: { layers: 1 }, text: { contextLength, vocabSize, layers: 1 } };
    const config = modelConfig('coca_ViT-Nano-16-64', { ...size, decoder: { layers: 1 } });
    using coca = createModel(config, { generator: new Generator({ seed: 5 }) });
    const parts = { config, model: coca, tokenizer, preprocess: preprocessFor(64) };
    await saveModel(join(cwd, 'coca'), parts);
    const commands = {
      caption: ['data', 'caption', ...data, '--model', 'coca', '--limit', '6', '--count', '2'],
      score: ['data', 'score', 'folder:shapes', '--model', 'run/model', '--scores', 'similarity'],
      reinforce: [
        ...['data', 'reinforce', ...data, '--teacher', 'run/model', '--augmentations', '1'],
        ...['--captions', '1', '--precision', 'fp32', '--store', 'fp32'],
      ],
    };
    const devices = ['cpu', 'emulated'] as const;
    const path = (name: string, device: string) => join(cwd, `${name}-${device}`);
    await Promise.all(
      devices.map(async (device) => {
        for (const [name, args] of Object.entries(commands)) {
          const out = ['--out', `${name}-${device}`, '--device', device];
          const { status, stderr } = await bantam([...args, ...out], { cwd, env });
          assert.equal(status, 0, stderr);
        }
      }),
    );
    const lines = (name: string) =>
      devices.map((device) => readFileSync(path(name, device), 'utf8').trimEnd().split('\n'));
    const [captions, others] = lines('caption');
    assert.equal(captions?.length, 7);
    assert.deepEqual(others, captions);
    const [scores, found] = lines('score').map((all) =>
      all.slice(1).map((line) => (JSON.parse(line) as { similarity: number }).similarity),
    );
    assert.ok(scores && found && scores.length === 48);
    for (const [i, score] of scores.entries()) assert.ok(Math.abs(at(found, i) - score) < 1e-4);
    const [expected, actual] = devices.map((device) => {
      const folder = path('reinforce', device);
      const blocks = readdirSync(folder).filter((name) => name.endsWith('.safetensors'));
      const all = blocks.flatMap((name) => [...loadSafetensors(join(folder, name)).tensors]);
      return all.filter(([, { dtype }]) => dtype === 'float32').flatMap(([, x]) => x.toArray());
    });
    assert.ok(expected && actual && expected.length === 48 * 2 * 64);
    for (const [i, value] of expected.entries()) assert.ok(Math.abs(at(actual, i) - value) < 1e-5);
  });

  it('that is none, or is not here, is refused in one sentence', async () => {
    const fails = (args: string[], status: 1 | 2, message: RegExp) =>
      expectFailure(args, { status, message, cwd, env });
    await Promise.all([
      fails(['eval', ...model, '--device', 'gpu'], 2, /'gpu' is invalid.*auto, cpu, cuda/),
      fails(
        ['embed', ...model, '--out', 'x', '--device', 'emulated:7'],
        1,
        /no device 'emulated:7'/,
      ),
      fails(
        ['eval', ...model, '--precision', 'int8', '--device', 'emulated'],
        2,
        /int8 is for the CPU, not for the device 'emulated'/,
      ),
    ]);
    if (availableDevices().some((name) => name.startsWith('cuda'))) return;
    const args = ['train', ...tinyModel, ...run, '--out', 'none', '--device', 'cuda'];
    await fails(args, 1, /Device 'cuda' cannot be used: .*; choose 'cpu', or install/);
  });
});
