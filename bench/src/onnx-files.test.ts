import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { at, loadSafetensors, scope } from '@bantam/torch';
import { preprocessFor } from 'bantam/experimental';
import { join } from 'node:path';
import { onnxGraph, onnxInputs } from './onnx-files.js';
import { prepare } from './prepare.js';
import { TemporaryFolder } from './temporary-folder.js';

describe('onnxInputs', () => {
  it('are the batches: pixels as Bantam normalises them, tokens of one length', async () => {
    using folder = new TemporaryFolder();
    const { path } = folder;
    const sizes = { model: 'ViT-Nano-16-64', batch: 2, batches: 2 };
    await prepare({ op: 'prepare', folder: path, ...sizes, vocabulary: null });
    await mkdir(join(path, 'onnx'));
    await writeFile(join(path, 'onnx', 'tokens.json'), '9');
    const images = await onnxInputs(path, 'image');
    const texts = await onnxInputs(path, 'text');
    assert.deepEqual(
      images.map(({ shape }) => shape),
      [
        [2, 3, 64, 64],
        [2, 3, 64, 64],
      ],
    );
    scope(() => {
      const { tensors } = loadSafetensors(join(path, 'batches.safetensors'));
      const [pixels, ids] = [tensors.get('pixels'), tensors.get('ids')];
      assert.ok(pixels && ids);
      const bytes = pixels.toArray();
      const { mean, std } = preprocessFor(64);
      const [, second] = images;
      // Green of the second batch's second image, at row 3 and column 5.
      const pixel = 3 * 64 + 5;
      const from = at(bytes, ((1 * 2 + 1) * 64 * 64 + pixel) * 3 + 1);
      const expected = (from / 255 - at(mean, 1)) / at(std, 1);
      const value = Number(second?.data[(1 * 3 + 1) * 64 * 64 + pixel]);
      assert.ok(Math.abs(value - expected) < 1e-6, `${value} is not ${expected}`);
      const context = ids.dim(2);
      const all = ids.toArray();
      texts.forEach(({ data, shape }, batch) => {
        const [rows = 0, length = 0] = shape;
        const row = (index: number) =>
          all.slice((batch * 2 + index) * context, (batch * 2 + index + 1) * context);
        assert.deepEqual([rows, length], [2, 9]);
        const kept = [0, 1].flatMap((index) => row(index).slice(0, 9));
        assert.deepEqual(Array.from(data, Number), kept);
      });
    });
  });

  it('names graphs by tower and precision', () => {
    assert.equal(onnxGraph('image', 'int8'), 'image-int8.onnx');
  });
});
