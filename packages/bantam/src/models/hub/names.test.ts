import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { chooseFiles } from './model-files.js';
import { parseHubName } from './names.js';
import { findPretrained, pretrainedModels, recognisePublished } from './pretrained.js';
import { hubSettings } from './settings.js';

describe('parseHubName', () => {
  it('reads repository and revision', () => {
    assert.deepEqual(parseHubName('hf:laion/CLIP-ViT-B-32'), {
      repository: 'laion/CLIP-ViT-B-32',
      revision: 'main',
    });
    assert.equal(parseHubName('hf:a/b@refs/pr/1')?.revision, 'refs/pr/1');
    assert.equal(parseHubName('runs/first/model'), null);
  });

  for (const name of [
    'hf:',
    'hf:model',
    'hf:a/b/c',
    'hf:../b',
    'hf:a/..',
    'hf:a/b@../x',
    'hf:a b/c',
  ]) {
    it(`refuses ${name}`, () => {
      assert.throws(() => parseHubName(name), { message: /write it hf:owner\/name/ });
    });
  }
});

describe('findPretrained', () => {
  it("knows OpenCLIP's list", () => {
    assert.equal(pretrainedModels().length, 196);
    const entry = findPretrained('ViT-B-32/laion2b_s34b_b79k');
    assert.equal(entry?.repository, 'laion/CLIP-ViT-B-32-laion2B-s34B-b79K');
    assert.equal(entry.quickGelu, false);
    assert.equal(findPretrained('ViT-B-32/LAION2B-s34b-b79k'), entry);
    assert.equal(findPretrained('ViT-B-32/openai')?.quickGelu, true);
    assert.deepEqual(findPretrained('ViT-B-16-SigLIP/webli')?.preprocess, {
      mean: [0.5, 0.5, 0.5],
      std: [0.5, 0.5, 0.5],
      interpolation: 'bicubic',
      resizeMode: 'squash',
    });
    assert.equal(findPretrained('runs/first'), null);
    assert.throws(() => findPretrained('ViT-B-32/opennai'), {
      message: /no published weights "opennai" \(did you mean "openai"\?\)/,
    });
  });

  it('recognises a published file by its name and hash, not by its name alone', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'bantam-published-'));
    try {
      const path = join(folder, 'ViT-B-32.pt');
      await writeFile(path, 'something else');
      assert.equal(await recognisePublished(path), null);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('chooseFiles', () => {
  it("takes OpenCLIP's files before Hugging Face's, safetensors before pickles, the weights last", () => {
    const files = ['config.json', 'open_clip_config.json', 'open_clip_pytorch_model.bin'];
    assert.deepEqual(chooseFiles([...files, 'model.safetensors', 'merges.txt']), {
      small: ['open_clip_config.json', 'merges.txt'],
      weights: 'open_clip_pytorch_model.bin',
      described: true,
    });
    const both = chooseFiles([...files, 'open_clip_model.safetensors']);
    assert.equal(both?.weights, 'open_clip_model.safetensors');
    assert.equal(chooseFiles(['config.json', 'pytorch_model.bin'])?.weights, 'pytorch_model.bin');
    assert.deepEqual(chooseFiles(['model.pt']), {
      small: [],
      weights: 'model.pt',
      described: false,
    });
    const multilingual = ['config.json', 'model.safetensors', 'sentencepiece.bpe.model'];
    const smallOf = (names: string[]) => chooseFiles(names)?.small;
    assert.deepEqual(smallOf(multilingual), ['config.json', 'sentencepiece.bpe.model']);
    assert.deepEqual(smallOf([...multilingual, 'tokenizer.json']), [
      'config.json',
      'tokenizer.json',
    ]);
    assert.equal(chooseFiles(['a.pt', 'b.pt']), null);
    assert.equal(chooseFiles(['README.md']), null);
    const parts = ['config.json', 'model.safetensors.index.json', 'model-1.safetensors'];
    assert.equal(chooseFiles(parts)?.weights, 'model.safetensors.index.json');
    assert.equal(
      chooseFiles(['a.safetensors', 'a.pth', 'b.pth'], 'a.pth')?.weights,
      'a.safetensors',
    );
  });
});

describe('hubSettings', () => {
  it('reads the environment of huggingface_hub', () => {
    const env = {
      HF_HOME: '/data/hf',
      HF_ENDPOINT: 'http://localhost:8080/mirror/',
      HF_TOKEN: ' hf_x\n',
      HF_HUB_OFFLINE: 'YES',
      HF_HUB_DOWNLOAD_TIMEOUT: '7',
    };
    const { endpoint, cacheDir, token, offline, timeout } = hubSettings({}, env);
    assert.equal(endpoint, 'http://localhost:8080/mirror');
    assert.deepEqual([cacheDir, token, offline, timeout], ['/data/hf/hub', 'hf_x', true, 7]);
    assert.equal(hubSettings({}, { HF_HUB_CACHE: '/c' }).cacheDir, '/c');
    assert.equal(hubSettings({}, { BANTAM_OFFLINE: '1' }).offline, true);
    assert.throws(() => hubSettings({}, { HF_ENDPOINT: 'mirror' }), /is no web address/);
  });
});
