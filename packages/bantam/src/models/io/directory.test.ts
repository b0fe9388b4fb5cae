import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { equal, Generator, reshape, saveSafetensors } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { trainTokenizer, type Tokenizer } from '../../text/index.js';
import { createModel, type Clip } from '../clip.js';
import { parseModelConfig, withChanges } from '../config.js';
import { loadModel, saveModel } from './directory.js';
import type { SaveModelOptions } from './formats/format.js';
import { channelStatistics, preprocessFor } from '../preprocess.js';
import { weightsDigest } from './weights-digest.js';

const captions = ['a happy cat', 'a red car on the road', 'a happy car'];
const preprocess = preprocessFor(16, {
  ...channelStatistics.inception,
  interpolation: 'bilinear',
  resizeMode: 'squash',
});

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'bantam-models-'));
});
after(() => rm(root, { recursive: true }));

function small(tokenizer: Tokenizer): SaveModelOptions {
  const { vocabSize, contextLength } = tokenizer;
  const config = parseModelConfig({
    embedDim: 12,
    vision: { imageSize: 16, patchSize: 4, width: 16, headWidth: 8, layers: 1 },
    text: { width: 16, heads: 2, layers: 1, vocabSize, contextLength },
  });
  const model = createModel(config, { generator: new Generator({ seed: 7 }) });
  return { config, model, tokenizer, preprocess, info: { strategy: 'clip', steps: 3 } };
}

const saved = small(trainTokenizer(captions, { vocabSize: 600, contextLength: 10 }));

/** A saved model directory of its own. */
async function place(name: string): Promise<string> {
  const directory = join(root, name);
  await saveModel(directory, saved);
  return directory;
}

function refusal(message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof BantamError, String(error));
    assert.match(error.message, message);
    return true;
  };
}

describe('saveModel and loadModel', () => {
  it('keep everything, the weights bit for bit', async () => {
    const directory = await place('whole');
    const loaded = await loadModel(directory);
    assert.deepEqual(loaded.info, saved.info);
    assert.deepEqual(loaded.preprocess, preprocess);
    assert.deepEqual(
      loaded.config,
      withChanges(saved.config, { text: { hfTokenizerName: 'bantam' } }),
    );
    assert.deepEqual(
      loaded.tokenizer.encode('a happy cat'),
      saved.tokenizer?.encode('a happy cat'),
    );
    assert.equal(loaded.model.training, false);
    const weights = loaded.model.stateDict();
    for (const [name, value] of saved.model.stateDict()) {
      const other = weights.get(name);
      assert.ok(other !== undefined && equal(value, other), name);
    }
    assert.deepEqual(
      (await readdir(root)).filter((name) => name.startsWith('.')),
      [],
    );
  });

  it('replace an earlier model directory, but no other folder', async () => {
    const directory = await place('twice');
    await saveModel(directory, { ...saved, info: { steps: 4 } });
    assert.deepEqual((await loadModel(directory)).info, { steps: 4 });
    await writeFile(join(directory, 'notes.txt'), 'mine');
    await assert.rejects(
      saveModel(directory, saved),
      refusal(/holds other files \(notes\.txt\); name a new or empty folder\.$/),
    );
    assert.equal(await readFile(join(directory, 'notes.txt'), 'utf8'), 'mine');
  });

  it('keep the earlier directory unchanged if saving fails', async () => {
    const directory = await place('failing');
    const broken: Tokenizer = Object.assign(Object.create(saved.tokenizer ?? null) as Tokenizer, {
      save: () => Promise.reject(new BantamError('no room')),
    });
    await assert.rejects(saveModel(directory, { ...saved, tokenizer: broken }), /no room/);
    assert.deepEqual((await loadModel(directory)).info, saved.info);
    assert.deepEqual(
      (await readdir(root)).filter((name) => name.startsWith('.')),
      [],
    );
  });

  it('refuse a path that cannot be written', async () => {
    const file = join(root, 'file');
    await writeFile(file, '');
    await assert.rejects(
      saveModel(join(file, 'model'), saved),
      refusal(
        /^Cannot write to .*model: a part of the path is a file, not a folder; name a folder/,
      ),
    );
  });

  it('refuse a tokenizer that does not fit the model', async () => {
    const tokenizer = trainTokenizer(captions, { vocabSize: 600, contextLength: 11 });
    await assert.rejects(
      saveModel(join(root, 'long'), { ...saved, tokenizer }),
      refusal(/cuts texts at 11 ids, but the model's context is 10/),
    );
    const config = withChanges(saved.config, { text: { vocabSize: 515 } });
    await assert.rejects(
      saveModel(join(root, 'small'), { ...saved, config }),
      refusal(/has \d+ ids, but the model has vectors for 515 only/),
    );
  });
});

describe('loadModel', () => {
  it('names the missing folder or file', async () => {
    await assert.rejects(
      loadModel(join(root, 'none')),
      refusal(/^There is no folder or file .*none; name a model directory/),
    );
    await mkdir(join(root, 'empty'));
    await assert.rejects(
      loadModel(join(root, 'empty')),
      refusal(/empty has no open_clip_config\.json/),
    );
    const directory = await place('weightless');
    await rm(join(directory, 'open_clip_model.safetensors'));
    await assert.rejects(loadModel(directory), refusal(/has no open_clip_model\.safetensors/));
    await writeFile(join(directory, 'open_clip_pytorch_model.bin'), '');
    await assert.rejects(
      loadModel(directory),
      refusal(/open_clip_pytorch_model.bin is neither a file of PyTorch nor of safetensors/),
    );
  });

  it('reads the model of a run, and says that a run has none yet', async () => {
    const run = join(root, 'run');
    await mkdir(run);
    await writeFile(join(run, 'config.json'), '{"formatVersion": 1}');
    await writeFile(join(run, 'metrics.jsonl'), '');
    await assert.rejects(
      loadModel(run),
      refusal(
        /^The run in .*run has no model yet; finish it with "bantam train --resume .*run"\.$/,
      ),
    );
    await saveModel(join(run, 'model'), saved);
    const loaded = await loadModel(run);
    assert.deepEqual(loaded.info, saved.info);
    assert.deepEqual(loaded.tokenizer.encode('a red cat'), saved.tokenizer?.encode('a red cat'));
    assert.equal(await weightsDigest(run), await weightsDigest(join(run, 'model')));
  });

  it('names a query that a model does not have', async () => {
    for (const name of ['weights.pt?arch=ViT-B-32', 'hf:owner/name?model', 'gone.pt?model=']) {
      const [model = ''] = name.split('?');
      await assert.rejects(loadModel(name), (error: unknown) => {
        assert.ok(error instanceof BantamError, String(error));
        assert.equal(
          error.message,
          `The query "${name.slice(model.length)}" of ${model} is not known; behind a model's name only "?model=" and its architecture may follow, as in "${model}?model=ViT-B-32".`,
        );
        return true;
      });
    }
  });

  it('names the damaged file', async () => {
    const directory = await place('damaged');
    const weights = join(directory, 'open_clip_model.safetensors');
    await truncate(weights, 5000);
    await assert.rejects(loadModel(directory), refusal(/open_clip_model\.safetensors/));
    await writeFile(weights, 'no tensors at all');
    await assert.rejects(loadModel(directory), refusal(/open_clip_model\.safetensors/));
    await writeFile(join(directory, 'open_clip_config.json'), '{');
    await assert.rejects(loadModel(directory), refusal(/open_clip_config\.json is not JSON/));
  });

  it('names the configuration file with what is wrong in it', async () => {
    const directory = await place('unknown');
    const file = join(directory, 'open_clip_config.json');
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace('"head_width"', '"headwidth"'));
    await assert.rejects(
      loadModel(directory),
      refusal(/open_clip_config\.json: "headwidth" of vision_cfg .* "head_width"\?\)\.$/),
    );
  });

  it('names the first tensors of a checkpoint of another model', async () => {
    const directory = await place('other');
    const config = withChanges(saved.config, { vision: { width: 24 }, text: { layers: 2 } });
    const model = createModel(config, { generator: null });
    await saveModel(join(root, 'source'), { ...saved, config, model });
    await cp(
      join(root, 'source', 'open_clip_model.safetensors'),
      join(directory, 'open_clip_model.safetensors'),
    );
    await assert.rejects(
      loadModel(directory),
      refusal(
        /open_clip_model\.safetensors holds another model .*\(visual\.conv1\.weight is \[24, 3, 4, 4\] instead of \[16, 3, 4, 4\]; visual\.class_embedding is \[24\] instead of \[16\], and \d+ more differ\)/,
      ),
    );
  });

  it('loads a directory without tokenizer, and throws when texts are encoded', async () => {
    const directory = join(root, 'wordless');
    await saveModel(directory, { config: saved.config, model: saved.model, preprocess });
    const loaded = await loadModel(directory);
    assert.throws(
      () => loaded.tokenizer,
      refusal(
        /wordless has no tokenizer, and vectors for \d+ ids only, fewer than CLIP's 49408; put/,
      ),
    );
  });

  it('takes weights of any name, and a logit scale of one dimension', async () => {
    const target = await place('renamed');
    await rm(join(target, 'open_clip_model.safetensors'));
    const weights = saved.model.stateDict();
    weights.set('logit_scale', reshape(saved.model.logitScale, [1]));
    saveSafetensors(join(target, 'weights.safetensors'), weights);
    const { model } = await loadModel(target);
    assert.ok(equal(model.logitScale, saved.model.logitScale));
    const proj = ({ visual }: Clip) => visual.stateDict().get('proj') ?? assert.fail();
    assert.ok(equal(proj(model), proj(saved.model)));
  });
});
