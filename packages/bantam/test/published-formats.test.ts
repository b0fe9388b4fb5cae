import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  abs,
  equal,
  Generator,
  loadSafetensors,
  max,
  noGrad,
  saveSafetensors,
  scope,
  sub,
  type Tensor,
} from '@bantam/torch';
import {
  createModel,
  exportModel,
  loadModel,
  modelConfig,
  parseModelConfig,
  preprocessFor,
  preprocessOf,
  saveModel,
  tokenizerFiles,
} from '../dist/models/index.js';
import { loadTokenizer } from '../dist/text/index.js';

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../fixtures/${name}`, import.meta.url));

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'bantam-published-'));
});
after(() => rm(root, { recursive: true }));

const folder = (): Promise<string> => mkdtemp(join(root, 'case-'));

/** A model of OpenAI's kind with CLIP's vocabulary. */
function clipLike(text: object = {}) {
  const config = parseModelConfig({
    embedDim: 6,
    quickGelu: true,
    vision: { imageSize: 16, patchSize: 8, width: 64, layers: 1 },
    text: { width: 64, heads: 1, layers: 1, contextLength: 77, ...text },
  });
  const model = createModel(config, { generator: new Generator({ seed: 8 }) });
  return { config, model, preprocess: preprocessFor(16) };
}

/** A SentencePiece model with tokens for the words "a" and "b" among `size`. */
function tinySentencePiece(size: number): Uint8Array {
  const named = ['<unk>', '<s>', '</s>', '▁a', '▁b'];
  const types = [2, 3, 3];
  const writer = new BinaryWriter();
  for (let id = 0; id < size; id++) {
    writer.tag(1, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(named[id] ?? `token${id}`);
    writer.tag(2, WireType.Bit32).float(-id);
    writer.tag(3, WireType.Varint).int32(types[id] ?? 1);
    writer.join();
  }
  return writer.finish();
}

function assertSameWeights(
  found: ReadonlyMap<string, Tensor>,
  expected: ReadonlyMap<string, Tensor>,
): void {
  assert.deepEqual([...found.keys()].sort(), [...expected.keys()].sort());
  for (const [name, value] of expected) {
    assert.ok(equal(found.get(name) ?? assert.fail(name), value), name);
  }
}

describe('a directory without a tokenizer', () => {
  it("encodes texts with CLIP's vocabulary, which Bantam carries", async () => {
    const directory = await folder();
    await saveModel(join(directory, 'model'), clipLike());
    const { tokenizer } = await loadModel(join(directory, 'model'));
    // open_clip.tokenize('A photo of a cat!')
    assert.deepEqual(
      tokenizer.encode('A photo of a cat!'),
      [49406, 320, 1125, 539, 320, 2368, 256, 49407],
    );
    assert.equal(tokenizer.vocabSize, 49408);
  });
});

describe('weights without their configuration', () => {
  it("are read without a word if they are OpenAI's own, refused if they only look like them", async () => {
    const saved = clipLike();
    const openAi = join(await folder(), 'model');
    await exportModel(openAi, saved, { format: 'openai' });
    assert.equal((await loadModel(openAi)).config.quickGelu, true);
    assert.equal((await loadModel(join(openAi, 'model.safetensors'))).config.quickGelu, true);

    const alone = await folder();
    saveSafetensors(join(alone, 'open_clip_model.safetensors'), saved.model.stateDict());
    await assert.rejects(loadModel(alone), {
      name: 'BantamError',
      message: /has no configuration beside open_clip_model\.safetensors; name its architecture/,
    });
  });

  it('have the configuration that ?model= names, with their positions resized on request', async () => {
    const config = modelConfig('ViT-Nano-16-64');
    const model = createModel(config, { generator: new Generator({ seed: 9 }) });
    const directory = await folder();
    const file = join(directory, 'weights.safetensors');
    saveSafetensors(file, model.stateDict());
    const loaded = await loadModel(`${file}?model=ViT-Nano-16-64`);
    assert.deepEqual(loaded.config, config);
    assert.deepEqual(loaded.preprocess, preprocessOf(config));
    assertSameWeights(loaded.model.stateDict(), model.stateDict());
    const resized = await loadModel(`${file}?model=ViT-Nano-16-64`, {
      imageSize: 96,
      contextLength: 20,
    });
    assert.deepEqual(
      [resized.config.vision.imageSize, resized.config.text.contextLength],
      [96, 20],
    );
    await assert.rejects(loadModel(`${directory}?model=ViT-Nano-16-64`), {
      message: /is a directory; name the file of weights in it/,
    });
    await assert.rejects(loadModel(`${file}?model=ViT-B-32`), {
      message: /holds another model than the configuration/,
    });
  });

  it('may have a text tower that is named, or not, whatever their configuration says', async () => {
    const saved = clipLike();
    for (const customText of [true, false]) {
      const directory = await folder();
      const file = join(directory, 'x.safetensors');
      const config = { ...saved.config, customText: !customText };
      const other = createModel(parseModelConfig({ ...saved.config, customText }), {
        generator: new Generator({ seed: 8 }),
      });
      saveSafetensors(file, other.stateDict());
      await writeFile(join(directory, 'config-of-it.json'), JSON.stringify(config));
      const name = `${file}?model=${join(directory, 'config-of-it.json')}`;
      const { model } = await loadModel(name);
      assertSameWeights(model.text.stateDict(), other.text.stateDict());
    }
  });
});

describe("a directory of transformers' files", () => {
  it('is read by them if it has a configuration of OpenCLIP too, without its weights', async () => {
    const directory = await folder();
    await cp(fixture('models/hugging-face/clip-gelu'), directory, { recursive: true });
    await cp(
      fixture('models/gelu/open_clip_config.json'),
      join(directory, 'open_clip_config.json'),
    );
    const { tensors } = loadSafetensors(fixture('models/hugging-face/clip-gelu.safetensors'));
    const { model } = await loadModel(directory);
    scope(() => {
      noGrad(() => {
        const own = model.encodeImage(tensors.get('pixels') ?? assert.fail());
        const error = max(abs(sub(own, tensors.get('image') ?? assert.fail()))).item();
        assert.ok(error < 2e-5, String(error));
      });
    });
  });

  it('takes its tokenizer from a .model file, wrapped as its class says', async () => {
    const directory = await folder();
    await cp(fixture('models/hugging-face/siglip'), directory, { recursive: true });
    for (const name of tokenizerFiles) await rm(join(directory, name), { force: true });
    const config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8')) as {
      text_config: { vocab_size: number };
    };
    const { vocab_size: size } = config.text_config;
    await writeFile(join(directory, 'spiece.model'), tinySentencePiece(size));
    await writeFile(
      join(directory, 'tokenizer_config.json'),
      JSON.stringify({ tokenizer_class: 'SiglipTokenizer' }),
    );
    const { tokenizer } = await loadModel(directory);
    assert.deepEqual([tokenizer.vocabSize, tokenizer.eotId, tokenizer.padId], [size, 2, 2]);
    assert.deepEqual(tokenizer.encode('A, b!'), [3, 4, 2]);
  });

  it("lowers letters as SigLIP 2's tokenizers do", async () => {
    for (const [settings, lowers] of [
      [{ tokenizer_class: 'Siglip2Tokenizer' }, true],
      [{ tokenizer_class: 'GemmaTokenizer', do_lower_case: true }, true],
      [{ tokenizer_class: 'GemmaTokenizerFast', do_lower_case: true }, true],
      [{ tokenizer_class: 'GemmaTokenizer' }, false],
    ] as const) {
      const directory = await folder();
      await cp(fixture('models/hugging-face/siglip'), directory, { recursive: true });
      const tokenizer = JSON.parse(
        await readFile(fixture('text/kinds/whitespace/tokenizer.json'), 'utf8'),
      ) as { model: { vocab: Record<string, number> } };
      tokenizer.model.vocab = { '[UNK]': 0, dog: 1, DOG: 2, a: 3, A: 4 };
      const whole = { ...tokenizer, added_tokens: [], normalizer: null, post_processor: null };
      await writeFile(join(directory, 'tokenizer.json'), JSON.stringify(whole));
      await writeFile(join(directory, 'tokenizer_config.json'), JSON.stringify(settings));
      const loaded = await loadModel(directory);
      const [upper, lower] = ['A DOG', 'a dog'].map((text) => loaded.tokenizer.encode(text));
      if (lowers) assert.deepEqual(upper, lower);
      else assert.notDeepEqual(upper, lower);
      // The same tokenizer without the model, as "tokenizer encode" and "train --tokenizer" load it.
      const { contextLength } = loaded.tokenizer;
      const alone = await loadTokenizer(directory, { contextLength });
      assert.deepEqual(
        ['A DOG', 'a dog'].map((text) => alone.encode(text)),
        [upper, lower],
      );
    }
  });

  it('is refused without one of its shards, by name', async () => {
    const directory = await folder();
    await cp(fixture('models/hugging-face/clip'), directory, { recursive: true });
    await rename(
      join(directory, 'model-00002-of-00003.safetensors'),
      join(directory, 'gone.safetensors'),
    );
    await assert.rejects(loadModel(directory), {
      name: 'BantamError',
      message:
        /lacks model-00002-of-00003\.safetensors, which its model\.safetensors\.index\.json names/,
    });
  });
});
