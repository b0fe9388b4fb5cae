import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Generator } from '@bantam/torch';
import {
  createModel,
  modelConfig,
  preprocessFor,
  saveModel,
  withChanges,
} from '../dist/models/index.js';
import { loadTokenizer } from '../dist/text/index.js';
import { bantam, bantamJson, expectFailure } from './bantam.js';

describe('bantam export', () => {
  let folder: string;
  const path = (name: string) => join(folder, name);

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'bantam-cli-export-'));
    const trained = fileURLToPath(new URL('../fixtures/text/trained', import.meta.url));
    const tokenizer = await loadTokenizer(trained, { contextLength: 16 });
    const { vocabSize, contextLength } = tokenizer;
    const config = withChanges(modelConfig('ViT-Pico-8-64'), {
      text: { layers: 1, vocabSize, contextLength },
    });
    using model = createModel(config, { generator: new Generator({ seed: 0 }) });
    await saveModel(path('model'), { config, model, tokenizer, preprocess: preprocessFor(64) });
  });

  after(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  it('writes graphs and tells how near they are', async () => {
    const { status, stdout, stderr } = await bantam([
      'export',
      path('model'),
      '--to',
      'onnx',
      '--out',
      path('onnx'),
    ]);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^Exported ViT 128 × 4, patch 8, 64 px; text/);
    assert.match(stdout, /^q8 .*cosine ≥ 0\.99/m);
    assert.match(stdout, /Compared on 16 images \(generated\) and \d+ texts\./);
  });

  it('prints the manifest of a run as JSON, of one precision without a check', async () => {
    cpSync(path('model'), path('run/model'), { recursive: true });
    writeFileSync(path('run/config.json'), '{}');
    const manifest = (await bantamJson([
      ...['export', path('run'), '--to', 'onnx', '--out', path('q8')],
      ...['--precision', 'q8', '--no-check'],
    ])) as { out: string; format: string; precisions: object; check: null };
    assert.equal(manifest.out, path('q8'));
    assert.equal(manifest.format, 'bantam-onnx');
    assert.deepEqual(Object.keys(manifest.precisions), ['q8']);
    assert.equal(manifest.check, null);
    assert.equal(readdirSync(join(path('q8'), 'onnx')).length, 3);
  });

  it('refuses wrong usage and an existing directory', async () => {
    const base = ['export', path('model'), '--out', path('new')];
    await expectFailure(base, { status: 2, message: /--to/ });
    await expectFailure([...base, '--to', 'onxx'], { status: 2, message: /onnx/ });
    await expectFailure([...base, '--to', 'onnx', '--precision', 'int4'], {
      status: 2,
      message: /fp32, fp16, q8/,
    });
    await expectFailure(['export', path('model'), '--to', 'onnx', '--out', path('model')], {
      status: 1,
      message: /exists already/,
    });
    assert.equal(readdirSync(folder).includes('new'), false);
  });
});
