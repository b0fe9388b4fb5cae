import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  fromOpenClip,
  modelConfig,
  parameterCount,
  parseModelConfig,
  toOpenClip,
} from '../dist/models/index.js';
import { readModelFixture } from './model-fixtures.js';
import {
  itDropsBranchesInTrainingOnly,
  itEqualsTheReference,
  itWorksInBfloat16,
  towerOf,
} from './tower-fixture.js';
import { itStartsAsTheReference } from './tower-init.js';

const sizes = { width: 16, heads: 2, layers: 2 };
const eva = { type: 'eva', patchSize: 8, ...sizes };
const rotary = { grid: 3, offset: 0, order: 'yx' };
const perception = {
  ...{ ...eva, normEps: 1e-5, keyBias: true, preNorm: true, poolType: 'map' },
  rotary: { grid: 2, offset: 1, order: 'xy' },
};
const evaTowers = {
  'pre-norm': { ...eva, imageSize: 29, mlpRatio: 2.5 },
  'post-norm': { ...eva, imageSize: 24, mlpRatio: 2, block: 'post-norm' },
  'sub-norm': { ...eva, imageSize: 32, mlpRatio: (4 * 2) / 3, block: 'sub-norm', rotary },
  perception: { ...perception, imageSize: 24, mlpRatio: 2, poolHeads: 4 },
  'perception-without-class-token': {
    ...{ ...perception, imageSize: 32, mlpRatio: 8960 / 1536, poolMlpRatio: 2, classToken: false },
    rotary: { grid: 4, offset: 0, order: 'xy' },
  },
};

const vit = { type: 'timm-vit', ...sizes };
const mbconv = {
  ...{ ...vit, stem: 'mbconv', stemWidth: 4, mlp: 'geglu', mlpRatio: 2 },
  ...{ poolType: 'avg', finalLnAfterPool: true },
};
const vits = {
  averaged: {
    ...{ ...vit, imageSize: 24, patchSize: 8, poolType: 'avg' },
    ...{ qkvBias: false, lsInitValue: 0.1 },
  },
  'class-token': {
    ...{ ...vit, imageSize: 24, patchSize: 8, proj: 'own' },
    ...{ preNorm: true, normEps: 1e-5 },
  },
  convolutions: {
    ...{ ...vit, imageSize: 48, stem: 'convolutions', posEmbed: 'patches', proj: 'own' },
  },
  mbconv: { ...mbconv, imageSize: 40 },
  'mbconv-without-positions': { ...mbconv, imageSize: 32, posEmbed: 'none' },
};

interface PresetFixture {
  readonly parameters?: { total: number; image: number; text: number };
  readonly model_cfg: unknown;
}

describe("EVA's image tower", () => {
  for (const [name, vision] of Object.entries(evaTowers)) {
    const tower = { fixture: `eva/${name}`, create: () => towerOf(vision) };
    itEqualsTheReference(tower);
    itWorksInBfloat16(tower);
  }

  itStartsAsTheReference('eva/init', () =>
    towerOf({ ...evaTowers['sub-norm'], width: 64, rotary: { ...rotary, grid: 16 } }),
  );

  it('refuses settings that do not fit together', () => {
    const refused = [
      [{ classToken: false }, /"poolType" "tok" of "vision" needs a class token/],
      [{ rotary, width: 12 }, /heads whose width is a multiple of 4, not 6/],
      [{ imageSize: 7 }, /"imageSize" of "vision" \(7\) has no room for a patch of 8 pixels/],
      [{ poolType: 'map', poolHeads: 3 }, /"width" .* multiple of "poolHeads"/],
    ] as const;
    for (const [changes, message] of refused) {
      assert.throws(() => parseModelConfig({ embedDim: 6, vision: { ...eva, ...changes } }), {
        name: 'BantamError',
        message,
      });
    }
  });
});

describe("Timm's vision transformer", () => {
  for (const [name, vision] of Object.entries(vits)) {
    const tower = { fixture: `timm-vit/${name}`, create: () => towerOf(vision) };
    itEqualsTheReference(tower);
    itWorksInBfloat16(tower);
  }

  itDropsBranchesInTrainingOnly({
    imageSize: 40,
    create: (dropPath) => towerOf({ ...vits.mbconv, dropPath }),
  });

  itStartsAsTheReference('timm-vit/convolutions-init', () =>
    towerOf({ ...vits.convolutions, imageSize: 32, width: 64 }),
  );

  itStartsAsTheReference('timm-vit/mbconv-init', () =>
    towerOf({ ...vits.mbconv, imageSize: 32, width: 64, stemWidth: 16 }),
  );
});

describe('presets of towers of timm', () => {
  const presets = readModelFixture('timm-vit/presets.json') as Readonly<
    Record<string, PresetFixture>
  >;
  for (const [name, { parameters, model_cfg }] of Object.entries(presets)) {
    it(`has ${name} as OpenCLIP does, with as many parameters`, () => {
      const config = modelConfig(name);
      assert.deepEqual(config, fromOpenClip(model_cfg));
      assert.deepEqual(fromOpenClip(toOpenClip(config)), config);
      if (parameters !== undefined) assert.deepEqual(parameterCount(config), parameters);
    });
  }

  it('refuses a pooling that the tower has not', () => {
    const config = {
      embed_dim: 6,
      vision_cfg: {
        timm_model_name: 'eva02_base_patch16_clip_224',
        timm_pool: 'avg',
        timm_proj: null,
      },
      text_cfg: {},
    };
    assert.throws(() => fromOpenClip(config), { message: /vision_cfg\.timm_pool "avg"/ });
  });
});
