import assert from 'node:assert/strict';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { at, loadSafetensors } from '@bantam/torch';
import { bantamJson, expectFailure } from './bantam.js';
import { drawShapes, temporaryFolder, tinyModel } from './shapes.js';

const cwd = await temporaryFolder();
const env = { OMP_NUM_THREADS: '1', BANTAM_CACHE: join(cwd, 'cache') };

before(async () => {
  await drawShapes(join(cwd, 'shapes'), { each: 4 });
  const run = ['--data', 'folder:shapes', '--out', 'run', '--budget', '48samples'];
  await bantamJson(['train', ...tinyModel, ...run], { cwd, env });
});
after(() => rm(cwd, { recursive: true }));

const model = ['--model', 'run/model', '--data', 'folder:shapes'];

async function embedded(precision: string): Promise<Float32Array> {
  const out = `${precision}.safetensors`;
  await bantamJson(['embed', ...model, '--out', out, '--precision', precision], { cwd, env });
  const image = loadSafetensors(join(cwd, out)).tensors.get('image') ?? assert.fail();
  return image.toTypedArray() as Float32Array;
}

describe('--precision', () => {
  it('gives features near those of fp32', async () => {
    const [fp32, ...others] = await Promise.all(['fp32', 'bf16', 'int8'].map(embedded));
    assert.ok(fp32);
    for (const features of others) {
      const rows = 48;
      const width = fp32.length / rows;
      let least = 1;
      for (let row = 0; row < rows; row++) {
        let cosine = 0;
        for (let i = row * width; i < (row + 1) * width; i++) {
          cosine += at(fp32, i) * at(features, i);
        }
        least = Math.min(least, cosine);
      }
      assert.ok(least > 0.99, `cosine ${least}`);
      assert.notDeepEqual(features, fp32);
    }
  });

  it('evaluates in int8', async () => {
    const args = ['eval', ...model, '--tasks', 'zero-shot', '--precision', 'int8'];
    const [result] = (await bantamJson(args, { cwd, env })) as { samples: number }[];
    assert.equal(result?.samples, 48);
  });

  it('is refused in one sentence where it is none, and for training', async () => {
    const fails = (args: string[], message: RegExp) =>
      expectFailure(args, { status: 2, message, cwd, env });
    await Promise.all([
      fails(['eval', ...model, '--precision', 'int4'], /'int4' is invalid.*fp32, bf16, int8, auto/),
      fails(
        [
          'train',
          ...tinyModel,
          '--data',
          'folder:shapes',
          '--out',
          'no',
          '--budget',
          '8samples',
        ].concat('--precision', 'int8'),
        /int8 is for inference.*bantam eval/,
      ),
    ]);
  });
});
