import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'node:test';
import {
  abs,
  autocast,
  Generator,
  loadSafetensors,
  max,
  mean,
  noGrad,
  randn,
  scope,
  sub,
  to,
  type Tensor,
} from '@bantam/torch';
import {
  createModel,
  fromOpenClip,
  loadModel,
  modelConfig,
  parameterCount,
  parseModelConfig,
} from '../dist/models/index.js';
import { readModelFixture } from './model-fixtures.js';
import { itEqualsTheReference } from './tower-fixture.js';

const tiny = { type: 'vit', patchSize: 8, layers: 2, mlpRatio: 2 };
const small = { ...tiny, imageSize: 24, width: 8, headWidth: 4 };
const vits: Record<string, { vision: object; embedDim: number }> = {
  queries: {
    embedDim: 8,
    vision: {
      ...tiny,
      imageSize: 32,
      width: 12,
      headWidth: 4,
      attentionalPool: true,
      attnPoolerQueries: 4,
      attnPoolerHeads: 2,
    },
  },
  'queries-mean': {
    embedDim: 8,
    vision: {
      ...small,
      poolType: 'avg',
      attentionalPool: true,
      attnPoolerQueries: 3,
      attnPoolerHeads: 4,
      lsInitValue: 0.1,
      normEps: 1e-6,
    },
  },
  parallel: {
    embedDim: 8,
    vision: {
      ...small,
      noLnPre: true,
      attentionalPool: 'parallel',
      attnPoolerQueries: 3,
      attnPoolerHeads: 2,
    },
  },
  cascade: {
    embedDim: 8,
    vision: { ...small, attentionalPool: 'cascade', attnPoolerQueries: 3, attnPoolerHeads: 2 },
  },
  'sin-cos': {
    embedDim: 6,
    vision: { ...tiny, imageSize: 40, width: 16, headWidth: 8, posEmbedType: 'sin_cos_2d' },
  },
};
const siglips: Record<string, { vision: object; embedDim: number }> = {
  exact: {
    embedDim: 12,
    vision: { imageSize: 24, patchSize: 8, width: 12, layers: 2, heads: 3, mlpRatio: 2.5 },
  },
  approximate: {
    embedDim: 8,
    vision: { imageSize: 29, patchSize: 8, width: 8, layers: 1, heads: 2, geluTanh: true },
  },
};

function build({ vision, embedDim }: { vision: object; embedDim: number }) {
  const config = parseModelConfig({
    embedDim,
    vision,
    text: { width: 64, heads: 1, layers: 1, vocabSize: 10 },
  });
  return createModel(config, { generator: new Generator({ seed: 1 }) }).visual;
}

function assertNear(actual: Tensor, expected: Tensor | undefined, tolerance: number): void {
  assert.ok(expected !== undefined);
  assert.deepEqual(actual.shape, expected.shape);
  const error = max(abs(sub(actual, expected))).item();
  assert.ok(error <= tolerance, `differs by ${error}`);
}

function open(name: string): ReadonlyMap<string, Tensor> {
  const url = new URL(`../fixtures/models/${name}.safetensors`, import.meta.url);
  return loadSafetensors(fileURLToPath(url)).tensors;
}

const towers = {
  ...Object.fromEntries(Object.entries(vits).map(([name, tower]) => [`vit/${name}`, tower])),
  ...Object.fromEntries(
    Object.entries(siglips).map(([name, { vision, embedDim }]) => [
      `siglip/${name}`,
      { embedDim, vision: { type: 'siglip-vit', ...vision } },
    ]),
  ),
};

describe('vision transformers', () => {
  for (const [fixture, tower] of Object.entries(towers)) {
    itEqualsTheReference({ fixture, create: () => build(tower) });

    it(`give the same feature without tokens, and nearly in bfloat16: ${fixture}`, () => {
      using visual = build(tower).eval();
      const { imageSize } = tower.vision as { imageSize: number };
      noGrad(() => {
        scope(() => {
          const pixels = randn([2, 3, imageSize, imageSize], new Generator({ seed: 2 }));
          const { pooled } = visual.encode(pixels);
          assertNear(visual.encode(pixels, { tokens: true }).pooled, pooled, 2e-6);
          const half = autocast('bfloat16', () => visual.encode(pixels).pooled);
          const error = mean(abs(sub(to(half, { dtype: 'float32' }), pooled))).item();
          assert.ok(error < 0.05 * mean(abs(pooled)).item() + 0.01, `${error}`);
        });
      });
    });
  }

  it("start with OpenCLIP's fixed positions, and never train them", () => {
    const visual = build(towers['vit/sin-cos'] ?? assert.fail());
    const table = visual.stateDict().get('positional_embedding') ?? assert.fail();
    scope(() => {
      assertNear(table, open('vit/sin-cos').get('weight.positional_embedding'), 1e-6);
    });
    assert.equal(visual.namedParameters().has('positional_embedding'), false);
  });

  const presets = readModelFixture('vit/presets.json') as Record<
    string,
    { parameters: { total: number; image: number; text: number }; model_cfg: unknown }
  >;
  for (const [name, { parameters, model_cfg }] of Object.entries(presets)) {
    it(`${name} is OpenCLIP's, with as many parameters`, () => {
      assert.deepEqual(modelConfig(name), fromOpenClip(model_cfg));
      assert.deepEqual(parameterCount(modelConfig(name)), parameters);
    });
  }
});

describe('loadModel', () => {
  const directory = fileURLToPath(new URL('../fixtures/models/vit/resized', import.meta.url));
  const reference = open('vit/resized');
  for (const [imageSize, contextLength] of [
    [16, 4],
    [56, 12],
  ] as const) {
    it(`interpolates positions as OpenCLIP does: ${imageSize} px, ${contextLength} tokens`, async () => {
      const { model, config, preprocess } = await loadModel(directory, {
        imageSize,
        contextLength,
      });
      assert.deepEqual([config.vision.imageSize, preprocess.size], [imageSize, imageSize]);
      assert.equal(config.text.contextLength, contextLength);
      noGrad(() => {
        scope(() => {
          const pixels = reference.get(`pixels.${imageSize}`) ?? assert.fail();
          const ids = reference.get(`ids.${contextLength}`) ?? assert.fail();
          assertNear(model.encodeImage(pixels), reference.get(`image.${imageSize}`), 2e-5);
          assertNear(model.encodeText(ids), reference.get(`text.${contextLength}`), 2e-5);
        });
      });
    });
  }

  it('refuses an image size that patches do not divide', async () => {
    await assert.rejects(loadModel(directory, { imageSize: 36 }), {
      message: /"imageSize" of "vision" \(36\) must be a multiple of "patchSize" \(8\)/,
    });
  });
});
