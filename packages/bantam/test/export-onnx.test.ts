import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { copy_, Generator, mul, noGrad, scope, type Tensor } from '@bantam/torch';
import {
  exportOnnx,
  loadOnnxRuntime,
  type ExportManifest,
  type OnnxExport,
} from '../dist/export/index.js';
import {
  createModel,
  modelConfig,
  preprocessFor,
  saveModel,
  withChanges,
  type Clip,
} from '../dist/models/index.js';
import { loadForInference } from '../dist/eval/index.js';
import { identifyModel } from '../dist/search/index.js';
import { loadTokenizer } from '../dist/text/index.js';
import { writeImages } from '../dist/test-support/image-folders.js';

let folder: string;
const path = (...names: string[]) => join(folder, ...names);

/** Saves a small model with a trained tokenizer, after `change`. */
async function saveSmall(name: string, change: (model: Clip) => void = () => undefined) {
  const trained = fileURLToPath(new URL('../fixtures/text/trained', import.meta.url));
  const tokenizer = await loadTokenizer(trained, { contextLength: 16 });
  const { vocabSize, contextLength } = tokenizer;
  const config = withChanges(modelConfig('ViT-Pico-8-64'), {
    embedDim: 16,
    vision: { imageSize: 32, width: 32, headWidth: 16, layers: 2 },
    text: { width: 32, heads: 2, layers: 1, vocabSize, contextLength },
  });
  using model = createModel(config, { generator: new Generator({ seed: 0 }) });
  change(model);
  await saveModel(path(name), { config, model, tokenizer, preprocess: preprocessFor(32) });
}

/** x·weight in place of x. */
function multiply(x: Tensor, weight: number): void {
  noGrad(() => {
    scope(() => {
      copy_(x, mul(x, weight));
    });
  });
}

function manifestOf(directory: string): ExportManifest {
  return JSON.parse(readFileSync(join(directory, 'bantam.json'), 'utf8')) as ExportManifest;
}

describe('exportOnnx', () => {
  let exported: OnnxExport;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'bantam-export-'));
    await saveSmall('model');
    await writeImages(path('images'), 2);
    exported = await exportOnnx(path('model'), path('onnx'), {
      data: `folder:${path('images')}`,
    });
  });

  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('writes the directory that transformers.js loads', () => {
    assert.deepEqual(readdirSync(path('onnx')).sort(), [
      'bantam.json',
      'config.json',
      'onnx',
      'preprocessor_config.json',
      'special_tokens_map.json',
      'tokenizer.json',
      'tokenizer_config.json',
    ]);
    const graphs = ['model', 'text_model', 'vision_model'].flatMap((stem) =>
      ['', '_fp16', '_quantized'].map((suffix) => `${stem}${suffix}.onnx`),
    );
    assert.deepEqual(readdirSync(path('onnx', 'onnx')).sort(), graphs.sort());
    const config = JSON.parse(readFileSync(path('onnx', 'config.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    assert.deepEqual([config.model_type, config.projection_dim], ['clip', 16]);
  });

  it('describes model, tokenizer, preprocessing and graphs in the manifest', () => {
    const manifest = manifestOf(path('onnx'));
    assert.deepEqual(manifest, JSON.parse(JSON.stringify(exported.manifest)));
    const { format, version, embedDim, preprocess, tokenizer, logits, graphs } = manifest;
    assert.deepEqual([format, version, embedDim], ['bantam-onnx', 1, 16]);
    assert.deepEqual(preprocess, preprocessFor(32));
    assert.deepEqual([tokenizer.kind, tokenizer.contextLength], ['BPE', 16]);
    assert.equal(logits.activation, 'softmax');
    assert.ok(Math.abs(logits.scale - 1 / 0.07) < 1e-3);
    assert.deepEqual(graphs.text, { inputs: ['input_ids'], outputs: ['text_embeds'] });
    assert.match(manifest.modelHash, /^[0-9a-f]{64}$/);
  });

  it('compares features and scores with the model', () => {
    const { check } = exported;
    assert.ok(check?.scores);
    assert.deepEqual(Object.keys(check.precisions), ['fp32', 'fp16', 'q8']);
    const { fp32, q8 } = check.precisions;
    assert.ok(fp32 && q8);
    assert.ok(fp32.image.largestDifference < 1e-5 && fp32.both.leastCosine > 0.9999);
    assert.ok(q8.text.leastCosine < 1 && q8.text.leastCosine > 0.99);
    assert.deepEqual(Object.keys(check.scores), Object.keys(fp32.scores ?? {}));
    assert.deepEqual(check.scores, fp32.scores);
  });

  it('gives a model the hash that an index of its vectors has, and another model another', async () => {
    const model = await loadForInference(path('model'));
    using own = model.loaded.model;
    assert.equal(exported.manifest.modelHash, (await identifyModel(model)).hash);
    assert.ok(own);
    const again = await exportOnnx(path('model'), path('again'), {
      precisions: ['fp32'],
      check: false,
    });
    assert.equal(again.manifest.modelHash, exported.manifest.modelHash);
    assert.equal(again.check, null);
    await saveSmall('other', ({ visual }) => {
      const [first] = visual.parameters();
      assert.ok(first);
      multiply(first, 2);
    });
    const other = await exportOnnx(path('other'), path('other-onnx'), {
      precisions: ['fp32'],
      check: false,
    });
    assert.notEqual(other.manifest.modelHash, exported.manifest.modelHash);
  });

  it('puts weights into a file of their own above a limit, and the graphs still run', async () => {
    const { manifest, check } = await exportOnnx(path('model'), path('external'), {
      precisions: ['fp32'],
      externalDataAbove: 10_000,
    });
    assert.equal(manifest.precisions.fp32?.externalData, true);
    assert.ok(readdirSync(path('external', 'onnx')).includes('vision_model.onnx_data'));
    assert.ok((check?.precisions.fp32?.image.largestDifference ?? 1) < 1e-5);
    const config = readFileSync(path('external', 'config.json'), 'utf8');
    assert.match(config, /"use_external_data_format": true/);
  });

  it('replaces an earlier export with force alone, and never another folder', async () => {
    const again = () => exportOnnx(path('model'), path('onnx'), { check: false });
    await assert.rejects(again(), { name: 'BantamError', message: /exists already.*--force/ });
    mkdirSync(path('mine'));
    writeFileSync(path('mine', 'letter.txt'), 'dear');
    const options = { check: false, force: true, precisions: ['fp32'] } as const;
    await assert.rejects(exportOnnx(path('model'), path('mine'), options), {
      name: 'BantamError',
      message: /holds other files \(letter\.txt\)/,
    });
    assert.deepEqual(readdirSync(path('mine')), ['letter.txt']);
    await exportOnnx(path('model'), path('again'), { ...options, precisions: ['q8'] });
    assert.deepEqual(Object.keys(manifestOf(path('again')).precisions), ['q8']);
  });

  it('writes nothing where fp16 cannot hold a weight', async () => {
    await saveSmall('large', ({ visual }) => {
      const [first] = visual.parameters();
      assert.ok(first);
      multiply(first, 1e7);
    });
    await assert.rejects(exportOnnx(path('large'), path('never')), {
      name: 'BantamError',
      message:
        /^visual\..* has numbers beyond ±65504, which fp16 cannot hold; export in fp32 or q8/,
    });
    assert.deepEqual(
      readdirSync(folder).filter((name) => name.includes('never')),
      [],
    );
  });

  it('refuses a folder that cannot be written, and a model without a tokenizer', async () => {
    writeFileSync(path('file'), '');
    await assert.rejects(exportOnnx(path('model'), path('file', 'onnx')), {
      name: 'BantamError',
      message: /Cannot write to .*a part of the path is a file/,
    });
    await saveSmall('mute');
    rmSync(path('mute', 'tokenizer.json'));
    await assert.rejects(exportOnnx(path('mute'), path('mute-onnx')), {
      name: 'BantamError',
      message: /tokenizer/,
    });
  });
});

describe('loadOnnxRuntime', () => {
  it('says how to get the runtime where it is not installed', async () => {
    const missing = Object.assign(new Error('Cannot find package'), {
      code: 'ERR_MODULE_NOT_FOUND',
    });
    await assert.rejects(
      loadOnnxRuntime(() => Promise.reject(missing)),
      {
        name: 'BantamError',
        message:
          'The check of exported graphs needs onnxruntime-node (it is not installed); install it with "ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node", or export with --no-check.',
      },
    );
  });
});
