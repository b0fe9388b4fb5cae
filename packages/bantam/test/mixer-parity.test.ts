import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  fromOpenClip,
  modelConfig,
  parameterCount,
  parseModelConfig,
  toOpenClip,
  withChanges,
} from '../dist/models/index.js';
import { readModelFixture } from './model-fixtures.js';
import {
  itDropsBranchesInTrainingOnly,
  itEqualsTheReference,
  itWorksInBfloat16,
  towerOf,
} from './tower-fixture.js';
import { itStartsAsTheReference } from './tower-init.js';

const mixer = { type: 'mixer' };
const cases = {
  square: { ...mixer, imageSize: 24, patchSize: 8, layers: 3, width: 16 },
  ratios: {
    ...mixer,
    imageSize: 20,
    patchSize: 4,
    layers: 2,
    width: 10,
    tokenMlpRatio: 1.25,
    channelMlpRatio: 2.5,
  },
};

describe('MlpMixer', () => {
  for (const [name, vision] of Object.entries(cases)) {
    const tower = { fixture: `mixer/${name}`, create: () => towerOf(vision) };
    itEqualsTheReference(tower);
    itWorksInBfloat16(tower);
  }

  itDropsBranchesInTrainingOnly({
    imageSize: 24,
    create: (dropPath) => towerOf({ ...cases.square, dropPath }),
  });

  itStartsAsTheReference('mixer/init', () =>
    towerOf({ ...mixer, imageSize: 64, patchSize: 8, layers: 1, width: 96 }),
  );

  const presets = { s32: 'S-32', s16: 'S-16', b32: 'B-32', b16: 'B-16' };
  const counts = readModelFixture('mixer/presets.json') as Readonly<Record<string, number>>;
  for (const [short, name] of Object.entries(presets)) {
    it(`has Mixer-${name} as timm does, with as many parameters`, () => {
      const timm = `mixer_${short}_224`;
      const config = modelConfig(`Mixer-${name}`);
      const openClip = toOpenClip(config);
      assert.equal((openClip.vision_cfg as { timm_model_name: string }).timm_model_name, timm);
      assert.deepEqual(fromOpenClip(openClip), config);
      assert.equal(parameterCount({ ...config, embedDim: 512 }).image, counts[timm]);
      assert.deepEqual(config.text, modelConfig(`ViT-${name}`).text);
    });
  }

  it('is bound to its image size, which the names in OpenCLIP are too', () => {
    const larger = withChanges(modelConfig('Mixer-S-32'), { vision: { imageSize: 256 } });
    // 49 patches become 64, in both layers of the MLP across patches of 8 blocks.
    const added = 8 * (2 * 15 * 256 + 15);
    const { image } = parameterCount(modelConfig('Mixer-S-32'));
    assert.equal(parameterCount(larger).image, image + added);
    assert.deepEqual(toOpenClip(larger).vision_cfg, { bantam: larger.vision });
    assert.deepEqual(fromOpenClip(toOpenClip(larger)), larger);
    const { vision_cfg, ...rest } = toOpenClip(modelConfig('Mixer-S-32'));
    const asked = { ...(vision_cfg as object), image_size: 256 };
    assert.throws(() => fromOpenClip({ ...rest, vision_cfg: asked }), {
      name: 'BantamError',
      message: /vision_cfg.image_size 256/,
    });
    assert.throws(() => parseModelConfig({ embedDim: 6, vision: { ...mixer, imageSize: 200 } }), {
      name: 'BantamError',
      message: /"imageSize" of "vision" \(200\) must be a multiple/,
    });
  });
});
