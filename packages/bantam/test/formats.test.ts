import assert from 'node:assert/strict';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  abs,
  equal,
  fromTypedArray,
  Generator,
  loadSafetensors,
  max,
  noGrad,
  randn,
  saveSafetensors,
  scope,
  sub,
  type Tensor,
} from '@bantam/torch';
import {
  convertModel,
  createModel,
  exportModel,
  loadModel,
  modelConfig,
  parseModelConfig,
  preprocessFor,
  preprocessOf,
  saveModel,
} from '../dist/models/index.js';
import { bantam } from './bantam.js';
import { trainTokenizer } from '../dist/text/index.js';

const fixtures = new URL('../fixtures/models/hugging-face/', import.meta.url);
const cases = ['clip', 'clip-gelu', 'siglip'] as const;
const path = (name: string) => fileURLToPath(new URL(name, fixtures));

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'bantam-formats-'));
});
after(() => rm(root, { recursive: true }));

/** All tensors of a directory's safetensors files. */
async function weightsOf(directory: string): Promise<Map<string, Tensor>> {
  const files = (await readdir(directory)).filter((file) => file.endsWith('.safetensors'));
  return new Map(
    files.flatMap((file): [string, Tensor][] => [
      ...loadSafetensors(join(directory, file)).tensors,
    ]),
  );
}

function assertSameWeights(actual: Map<string, Tensor>, expected: Map<string, Tensor>): void {
  assert.deepEqual([...actual.keys()].sort(), [...expected.keys()].sort());
  for (const [name, value] of expected) {
    const own = actual.get(name) ?? assert.fail(name);
    assert.deepEqual([own.dtype, own.shape], [value.dtype, value.shape], name);
    assert.ok(equal(own, value), name);
  }
}

function assertNear(actual: Tensor, expected: Tensor | undefined, tolerance = 2e-5): void {
  assert.ok(expected !== undefined);
  assert.deepEqual(actual.shape, expected.shape);
  const error = max(abs(sub(actual, expected))).item();
  assert.ok(error <= tolerance, `differs by ${error}`);
}

async function assertFeatures(directory: string, name: string): Promise<void> {
  const { model } = await loadModel(directory);
  const { tensors } = loadSafetensors(path(`${name}.safetensors`));
  noGrad(() => {
    scope(() => {
      const [pixels, ids] = ['pixels', 'ids'].map((key) => tensors.get(key) ?? assert.fail(key));
      assert.ok(pixels !== undefined && ids !== undefined);
      assertNear(model.encodeImage(pixels), tensors.get('image'));
      assertNear(model.encodeText(ids), tensors.get('text'));
    });
  });
}

/** A copy of a fixture with changed JSON in one of its files. */
async function changed(
  name: string,
  file: string,
  change: (document: Record<string, Record<string, unknown>>) => void,
): Promise<string> {
  const directory = await mkdtemp(join(root, 'changed-'));
  await cp(path(name), directory, { recursive: true });
  const text = await readFile(join(directory, file), 'utf8');
  const document = JSON.parse(text) as Record<string, Record<string, unknown>>;
  change(document);
  await writeFile(join(directory, file), JSON.stringify(document));
  return directory;
}

describe("Hugging Face's format", () => {
  for (const name of cases) {
    it(`has transformers' features: ${name}`, () => assertFeatures(path(name), name));

    it(`keeps every weight, there and back, through OpenCLIP's format: ${name}`, async () => {
      const [between, back] = [join(root, `${name}-oc`), join(root, `${name}-hub`)];
      await convertModel(path(name), between, { format: 'open-clip' });
      assert.ok((await readdir(between)).includes('open_clip_config.json'));
      await assertFeatures(between, name);
      await convertModel(between, back, { format: 'hugging-face' });
      assertSameWeights(await weightsOf(back), await weightsOf(path(name)));
      await assertFeatures(back, name);
      const [first, last] = [await loadModel(path(name)), await loadModel(back)];
      assert.deepEqual(last.preprocess, first.preprocess);
      assert.deepEqual(last.config, first.config);
    });
  }

  it('takes preprocessing from the preprocessor', async () => {
    const { preprocess } = await loadModel(path('clip-gelu'));
    assert.deepEqual(preprocess, {
      size: 24,
      mean: [0.1, 0.2, 0.3],
      std: [0.9, 0.8, 0.7],
      interpolation: 'bilinear',
      antialias: true,
      resizeMode: 'squash',
    });
    assert.deepEqual((await loadModel(path('clip'))).preprocess, preprocessFor(24));
  });

  it('carries a tokenizer along', async () => {
    const tokenizer = trainTokenizer(['a happy cat', 'a red car'], {
      vocabSize: 600,
      contextLength: 9,
    });
    const config = parseModelConfig({
      embedDim: 8,
      vision: { imageSize: 16, patchSize: 8, width: 8, headWidth: 4, layers: 1 },
      text: { width: 8, heads: 2, layers: 1, vocabSize: tokenizer.vocabSize, contextLength: 9 },
    });
    const model = createModel(config, { generator: new Generator({ seed: 3 }) });
    const directory = join(root, 'with-tokenizer');
    const saved = { config, model, tokenizer, preprocess: preprocessFor(16) };
    await exportModel(directory, saved, { format: 'hugging-face' });
    const loaded = await loadModel(directory);
    assert.deepEqual(loaded.tokenizer.encode('A happy CAT'), tokenizer.encode('A happy CAT'));
  });

  const refused: [string, string, Parameters<typeof changed>[2], RegExp][] = [
    [
      'an unknown activation',
      'config.json',
      ({ vision_config: vision = {} }) => (vision.hidden_act = 'swish'),
      /"hidden_act" of vision_config is "swish", which Bantam does not have/,
    ],
    [
      'QuickGELU in one tower',
      'config.json',
      ({ text_config: text = {} }) => (text.hidden_act = 'gelu'),
      /One tower has QuickGELU/,
    ],
    [
      'another size of features',
      'config.json',
      (document) => Object.assign(document, { projection_dim: 12 }),
      /holds another model .*visual\.proj is \[16, 10\] instead of \[16, 12\]/,
    ],
    [
      'means of two channels',
      'preprocessor_config.json',
      (document) => Object.assign(document, { image_mean: [0.5, 0.5] }),
      /"image_mean" of the preprocessor is \[0\.5,0\.5\], but Bantam needs three numbers/,
    ],
    [
      'images of another size',
      'preprocessor_config.json',
      (document) => Object.assign(document, { crop_size: 20 }),
      /"crop_size" of the preprocessor is 20, but Bantam needs the model's own 24 pixels/,
    ],
  ];
  for (const [what, file, change, message] of refused) {
    it(`refuses ${what}`, async () => {
      const directory = await changed('clip', file, change);
      await assert.rejects(loadModel(directory), { name: 'BantamError', message });
    });
  }

  it('names the shard that is missing', async () => {
    const directory = await changed('clip', 'config.json', () => undefined);
    await rm(join(directory, 'model-00002-of-00003.safetensors'));
    await assert.rejects(loadModel(directory), {
      message: /lacks model-00002-of-00003\.safetensors, which its model\.safetensors\.index\.json/,
    });
  });

  it('refuses to save models that transformers cannot describe', async () => {
    const parts: [object, object, RegExp][] = [
      [{ noLnPre: true }, {}, /CLIPModel has no place for "noLnPre" true of "vision"/],
      [{}, { noCausalMask: true }, /no place for "noCausalMask" true of "text"/],
      [{ type: 'swin', imageSize: 32 }, {}, /no image tower of the kind "swin"/],
    ];
    for (const [vision, text, message] of parts) {
      const config = parseModelConfig({
        embedDim: 8,
        vision: 'type' in vision ? vision : { ...vision, imageSize: 16, width: 64, layers: 1 },
        text: { width: 8, heads: 2, layers: 1, vocabSize: 10, contextLength: 5, ...text },
      });
      const model = createModel(config, { generator: null });
      const saved = { config, model, preprocess: preprocessFor(config.vision.imageSize) };
      await assert.rejects(exportModel(join(root, 'refused'), saved, { format: 'hugging-face' }), {
        name: 'BantamError',
        message,
      });
    }
  });
});

describe("OpenAI's format", () => {
  const text = { width: 64, heads: 1, layers: 1, vocabSize: 30, contextLength: 6 };
  const configs = {
    ViT: { vision: { imageSize: 32, patchSize: 8, width: 128, layers: 2 } },
    ResNet: { vision: { type: 'modified-resnet', imageSize: 64, width: 4, depths: [1, 2, 1, 1] } },
  };
  for (const [name, { vision }] of Object.entries(configs)) {
    it(`infers a ${name} from its weights, and keeps them in float16`, async () => {
      const config = parseModelConfig({ embedDim: 16, quickGelu: true, vision, text });
      const model = createModel(config, { generator: new Generator({ seed: 4 }) });
      const preprocess = preprocessFor(config.vision.imageSize);
      const [first, between, second] = [1, 2, 3].map((i) => join(root, `${name}-${i}`)) as [
        string,
        string,
        string,
      ];
      await exportModel(first, { config, model, preprocess }, { format: 'openai' });
      const { tensors } = loadSafetensors(join(first, 'model.safetensors'));
      assert.equal(tensors.get('text_projection')?.dtype, 'float16');
      assert.equal(tensors.get('token_embedding.weight')?.dtype, 'float32');
      assert.equal(tensors.get('ln_final.weight')?.dtype, 'float32');
      assert.equal(tensors.get('input_resolution')?.item(), config.vision.imageSize);
      const loaded = await convertModel(first, between, { format: 'open-clip' });
      assert.deepEqual(loaded.config, { ...config, initLogitScale: loaded.config.initLogitScale });
      assert.deepEqual(loaded.preprocess, preprocess);
      await convertModel(between, second, { format: 'openai' });
      assertSameWeights(await weightsOf(second), await weightsOf(first));
    });
  }

  it('refuses settings that the weights do not show', async () => {
    const vision = configs.ViT.vision;
    const plain = parseModelConfig({ embedDim: 16, quickGelu: true, vision, text });
    const preprocess = preprocessFor(32);
    const refuse = async (config: typeof plain, changes: object, message: RegExp) => {
      const model = createModel(config, { generator: null });
      const saved = { config, model, preprocess: { ...preprocess, ...changes } };
      await assert.rejects(exportModel(join(root, 'none'), saved, { format: 'openai' }), {
        name: 'BantamError',
        message,
      });
    };
    await refuse({ ...plain, quickGelu: false }, {}, /no place for "quickGelu" false/);
    const narrow = parseModelConfig({ ...plain, text: { ...text, width: 32, heads: 2 } });
    await refuse(narrow, {}, /no place for "heads" 2 of "text"/);
    await refuse(plain, { resizeMode: 'squash' }, /preprocessing's "resizeMode" "squash"/);
  });
});

describe('bantam models convert', () => {
  const saved = async (name: string, preset: string) => {
    const config = modelConfig(preset);
    const model = createModel(config, { generator: new Generator({ seed: 6 }) });
    const directory = join(root, name);
    await saveModel(directory, { config, model, preprocess: preprocessOf(config) });
    return directory;
  };

  it('merges branches for inference', async () => {
    const [from, to] = [await saved('branches', 'SiCLIP-Nano-64'), join(root, 'merged')];
    const { status, stderr } = await bantam(['models', 'convert', from, '--to', 'open-clip', '--fused', '--out', to]); // prettier-ignore
    assert.equal(status, 0, stderr);
    const [plain, merged] = [await loadModel(from), await loadModel(to)];
    assert.deepEqual([merged.config.vision, merged.config.text].map((tower) => 'fused' in tower && tower.fused), [true, true]); // prettier-ignore
    assert.ok((await weightsOf(to)).size < (await weightsOf(from)).size);
    const merging = await loadModel(from, { fused: true });
    assert.deepEqual(merging.config, merged.config);
    for (const [name, value] of merged.model.stateDict()) {
      assert.ok(equal(merging.model.stateDict().get(name) ?? assert.fail(name), value), name);
    }
    scope(() => {
      noGrad(() => {
        const pixels = randn([2, 3, 64, 64], new Generator({ seed: 1 }));
        const ids = fromTypedArray(BigInt64Array.of(1n, 5n, 9n, 2n), { shape: [1, 4] });
        const pairs = [plain, merged].map(({ model }) => [
          model.encodeImage(pixels, { normalize: true }),
          model.encodeText(ids, { normalize: true }),
        ]);
        assertNear(pairs[1]?.[0] ?? assert.fail(), pairs[0]?.[0]);
        assertNear(pairs[1]?.[1] ?? assert.fail(), pairs[0]?.[1]);
      });
    });
  });

  it('refuses to merge branches of a model without any', async () => {
    const from = await saved('plain', 'ViT-Nano-16-64');
    const { status, stderr } = await bantam(['models', 'convert', from, '--to', 'open-clip', '--fused', '--out', join(root, 'none')]); // prettier-ignore
    assert.equal(status, 1);
    assert.match(stderr, /Neither tower of .*plain has branches to merge/);
  });

  it('writes the other format, and reports the missing tokenizer', async () => {
    const out = join(root, 'converted');
    const { status, stdout, stderr } = await bantam([
      'models',
      'convert',
      path('clip'),
      '--to',
      'open-clip',
      '--out',
      out,
      '--image-size',
      '32',
    ]);
    assert.equal(status, 0, stderr);
    assert.match(stdout, /^Converted .*ViT 16 × 2, patch 8, 32 px.* to open-clip: .*converted/);
    assert.match(stdout, /\nWithout a tokenizer: .* has no tokenizer, and vectors for 40 ids only/);
    assert.equal((await loadModel(out)).config.vision.imageSize, 32);
  });

  it('names the formats', async () => {
    const run = await bantam(['models', 'convert', path('clip'), '--to', 'onnx', '--out', root]);
    assert.equal(run.status, 1);
    assert.match(run.stderr, /no model format "onnx".*open-clip, hugging-face, openai/);
  });
});

describe('loadModel and exportModel', () => {
  it('name a folder that is no model, and the formats', async () => {
    const directory = await mkdtemp(join(root, 'nothing-'));
    saveSafetensors(join(directory, 'model.safetensors'), new Map());
    await assert.rejects(loadModel(directory), {
      message: /no configuration beside model\.safetensors; name its architecture/,
    });
    await assert.rejects(convertModel(path('clip'), join(root, 'x'), { format: 'huggingface' }), {
      message: /no model format "huggingface" \(did you mean "hugging-face"\?\)/,
    });
  });

  it('resize positions of a directory of another format', async () => {
    const { config, model } = await loadModel(path('siglip'), { imageSize: 40 });
    assert.equal(config.vision.imageSize, 40);
    assert.deepEqual(model.visual.stateDict().get('trunk.pos_embed')?.shape, [1, 25, 16]);
    const directory = join(root, 'larger');
    await saveModel(directory, { config, model, preprocess: preprocessFor(40) });
    assert.equal((await loadModel(directory)).config.vision.imageSize, 40);
  });
});
