import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { expand, fill_, Generator, noGrad, randn, scope, select } from '@bantam/torch';
import {
  fromOpenClip,
  modelConfig,
  parameterCount,
  parseModelConfig,
  toOpenClip,
  type ImageTower,
} from '../dist/models/index.js';
import { readModelFixture } from './model-fixtures.js';
import {
  itDropsBranchesInTrainingOnly,
  itEqualsTheReference,
  itWorksInBfloat16,
  towerOf,
} from './tower-fixture.js';
import { itStartsAsTheReference } from './tower-init.js';

const tiny = { type: 'convnext', width: 3 };
const cases = {
  even: { ...tiny, imageSize: 32, depths: [1, 1, 2, 1] },
  odd: { ...tiny, imageSize: 44, depths: [1, 2, 1, 1], normEps: 1e-4, proj: 'mlp' },
};

interface PresetFixture {
  readonly parameters: { total: number; image: number; text: number };
  readonly model_cfg: unknown;
}

/** Sets the factors by which the blocks' branches are added. */
function setGamma(tower: ImageTower, values: readonly number[]): void {
  const gammas = [...tower.namedParameters()].filter(([name]) => name.endsWith('.gamma'));
  assert.equal(gammas.length, values.length);
  noGrad(() => {
    gammas.forEach(([, gamma], i) => fill_(gamma, values[i] ?? NaN));
  });
}

function oneHot(place: number, length: number): number[] {
  return Array.from({ length }, (_, i) => (i === place ? 1 : 0));
}

describe('ConvNext', () => {
  for (const [name, vision] of Object.entries(cases)) {
    const tower = { fixture: `convnext/${name}`, create: () => towerOf(vision) };
    itEqualsTheReference(tower);
    itWorksInBfloat16(tower);
  }

  itDropsBranchesInTrainingOnly({
    imageSize: 32,
    create(dropPath) {
      const tower = towerOf({ ...cases.even, dropPath });
      setGamma(tower, [1, 1, 1, 1, 1]);
      return tower;
    },
  });

  itStartsAsTheReference('convnext/init', () =>
    towerOf({ ...tiny, width: 24, depths: [1, 1, 1, 1] }),
  );

  const presets = readModelFixture('convnext/presets.json') as Readonly<
    Record<string, PresetFixture>
  >;
  for (const [name, { parameters, model_cfg }] of Object.entries(presets)) {
    it(`has ${name} as OpenCLIP does, with as many parameters`, () => {
      const config = modelConfig(name);
      assert.deepEqual(config, fromOpenClip(model_cfg));
      assert.deepEqual(fromOpenClip(toOpenClip(config)), config);
      const { total, image, text } = parameters;
      assert.deepEqual(parameterCount(config), { total, image, text });
    });
  }

  it('has no name in OpenCLIP for other depths', () => {
    const config = parseModelConfig({ embedDim: 6, vision: { ...tiny, depths: [1, 1, 2, 1] } });
    assert.deepEqual(toOpenClip(config).vision_cfg, { bantam: config.vision });
    assert.deepEqual(fromOpenClip(toOpenClip(config)), config);
  });

  it('refuses images that leave the last stage no location', () => {
    assert.throws(() => parseModelConfig({ embedDim: 6, vision: { ...tiny, imageSize: 31 } }), {
      name: 'BantamError',
      message: /"imageSize" of "vision" \(31\).*at least 32/,
    });
  });

  it('drops a branch for the more images, the later its block', () => {
    const [batch, last, blocks] = [500, 0.8, 4];
    using tower = towerOf({ ...tiny, imageSize: 32, depths: [1, 1, 1, 1], dropPath: last });
    using pixels = randn([1, 3, 32, 32], new Generator({ seed: 2 }));
    for (let block = 0; block < blocks; block++) {
      // The block alone has an effect, so that an image's feature tells whether it was dropped.
      setGamma(tower, oneHot(block, blocks));
      const first = noGrad(() =>
        scope(() => {
          const same = expand(pixels, [batch, 3, 32, 32]);
          const generator = new Generator({ seed: block });
          return select(tower.encode(same, { generator }).pooled, 1, 0);
        }),
      ).toArray();
      setGamma(tower, oneHot(-1, blocks));
      const without = scope(() => tower.eval().encode(pixels).pooled).toArray()[0] ?? NaN;
      tower.train();
      const dropped = first.filter((value) => Math.abs(value - without) < 1e-6).length / batch;
      const rate = (last * block) / (blocks - 1);
      const error = 4 * Math.sqrt((rate * (1 - rate)) / batch);
      assert.ok(Math.abs(dropped - rate) <= error, `block ${block}: ${dropped} of ${rate}`);
    }
  });
});
