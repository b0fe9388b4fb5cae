import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { at, availableDevices, loadSafetensors } from '@bantam/torch';
import { bantam, bantamJson, expectFailure } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1', BANTAM_CACHE: join(cwd, 'cache') };
const data = ['--data', 'folder:shapes'];
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
        const args = ['eval', ...model, '--tasks', 'zero-shot', '--no-cache', '--device', name];
        const [result] = (await bantamJson(args, { cwd, env })) as { metrics: unknown }[];
        return result?.metrics;
      }),
    );
    assert.deepEqual(results[1], results[0]);
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
