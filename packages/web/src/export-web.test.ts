import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { saveSafetensors, tensor } from '@bantam/torch';
import { exportWeb } from 'bantam/experimental';
import sharp from 'sharp';
import { readIndex } from './index-file.js';
import { makeUntrainedModel, type ColorModel } from './test-support/color-model.js';

const cli = fileURLToPath(new URL('../../bantam/bin/bantam.js', import.meta.url));

/** Runs the command line as a user does. */
function bantam(args: readonly string[]): Promise<{ status: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, ...args], (error, out, err) => {
      resolve({ status: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'));
}

describe('bantam export --to web', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bantam-export-web-'));
  const out = join(folder, 'page');
  let made: ColorModel;

  before(async () => {
    made = await makeUntrainedModel(folder);
    const { status, err } = await bantam([
      ...['export', made.model, '--to', 'web', '--out', out, '--index', made.index],
      ...['--no-check', '--title', 'Colors & more', '--precision', 'fp32,q8'],
    ]);
    assert.equal(status, 0, err);
  });

  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('writes the page, ONNX Runtime and the towers, and not the graph of both', () => {
    const model = readdirSync(join(out, 'model/onnx')).sort();
    assert.deepEqual(
      model,
      ['text', 'vision'].flatMap((tower) => [
        `${tower}_model.onnx`,
        `${tower}_model_quantized.onnx`,
      ]),
    );
    const { graphs } = readJson(join(out, 'model/bantam.json')) as { graphs: object };
    assert.deepEqual(Object.keys(graphs), ['image', 'text']);
    for (const file of ['index.html', 'page.js', 'runtime/ort-wasm-simd-threaded.wasm']) {
      assert.ok(existsSync(join(out, file)), file);
    }
    assert.match(readFileSync(join(out, '_headers'), 'utf8'), /Embedder-Policy: require-corp/);
  });

  it("takes labels, templates and captions from the index's data", () => {
    const page = readJson(join(out, 'page.json')) as Record<string, unknown>;
    assert.equal(page.title, 'Colors & more');
    assert.deepEqual([...(page.labels as string[])].sort(), [
      ...['black', 'blue', 'green', 'red', 'white', 'yellow'],
    ]);
    assert.equal((page.templates as string[])[0], 'a photo of a {}.');
    const items = readJson(join(out, 'index/items.json')) as { key: string; caption: string }[];
    assert.equal(items.length, 24);
    assert.deepEqual(
      items.filter(({ key }) => key.startsWith('red/')).map(({ caption }) => caption),
      new Array(4).fill('a photo of a red.'),
    );
  });

  it('writes the index without its texts, and a thumbnail of each image', async () => {
    const file = readFileSync(join(out, 'index/embeddings.safetensors'));
    const wanted = readIndex(readFileSync(made.index), made.index);
    const index = readIndex(file, 'embeddings.safetensors');
    assert.deepEqual(index.keys, wanted.keys);
    assert.deepEqual(index.row(5), wanted.row(5));
    assert.ok(file.length < readFileSync(made.index).length);
    const red = index.keys.findIndex((key) => key.startsWith('red/'));
    const { dominant } = await sharp(join(out, `thumbnails/0/${red}.webp`)).stats();
    assert.ok(dominant.r > 150 && dominant.g < 80, JSON.stringify(dominant));
  });

  it('takes the images from another folder when theirs is gone', async () => {
    const moved = join(folder, 'moved');
    renameSync(join(folder, 'images'), moved);
    const exported = join(folder, 'again');
    const options = { index: made.index, check: false, precisions: ['q8'] } as const;
    try {
      await assert.rejects(exportWeb(made.model, exported, options), /--images/);
      assert.equal(existsSync(exported), false);
      const result = await exportWeb(made.model, exported, { ...options, images: moved });
      assert.deepEqual([result.images, result.missing], [24, []]);
    } finally {
      renameSync(moved, join(folder, 'images'));
    }
  });

  it('refuses an index of another model, other precisions, and a folder that exists', async () => {
    const index = join(folder, 'other.safetensors');
    using image = tensor([[1, 0]]);
    const metadata = { keys: '["a"]', spec: made.data };
    saveSafetensors(index, new Map([['image', image]]), { metadata });
    const target = join(folder, 'refused');
    await assert.rejects(
      exportWeb(join(out, 'model'), target, { index }),
      /other\.safetensors has 2 dimensions and the model 16/,
    );
    await assert.rejects(
      exportWeb(join(out, 'model'), target, { precisions: ['fp16'] }),
      /no graphs in fp16, only in fp32, q8/,
    );
    const others = join(folder, 'others.safetensors');
    const known = { ...metadata, modelHash: 'another', model: 'elsewhere' };
    saveSafetensors(others, new Map([['image', image]]), { metadata: known });
    await assert.rejects(
      exportWeb(made.model, target, { index: others, check: false }),
      /others\.safetensors was embedded with another model \(elsewhere\)/,
    );
    await assert.rejects(exportWeb(made.model, out, {}), /exists already/);
    assert.equal(existsSync(target), false);
  });

  it('refuses options of the page for another format', async () => {
    const args = ['export', made.model, '--to', 'onnx', '--out', join(folder, 'x')];
    const { status, out, err } = await bantam([...args, '--title', 'Shop']);
    assert.deepEqual({ status, out }, { status: 2, out: '' });
    assert.equal(err, 'error: --title is for a page; use it with --to web.\n');
  });
});
