import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { abs, Generator, matmul, max, noGrad, randn, scope, sub, type Tensor } from '@bantam/torch';
import { createModel } from './clip.js';
import { modelFlops } from './cost/flops.js';
import { modelConfig, presets } from './presets/presets.js';
import type { ImageTower } from './tower.js';
import { imageTowerKind } from './towers.js';

const nano = [...presets.keys()].filter((name) => name.includes('Nano'));

function build(name: string) {
  return createModel(modelConfig(name), { generator: new Generator({ seed: 1 }) }).eval();
}

const randomPixels = (size: number, batch = 1) =>
  randn([batch, 3, size, size], new Generator({ seed: 2 }));

/** The part of a tower at the end of a path of fields. */
function at(tower: ImageTower, path: string): unknown {
  return path
    .split('.')
    .reduce<unknown>(
      (part, field) => (part as Record<string, unknown> | undefined)?.[field],
      tower,
    );
}

/** The tower's own projection of a representation. */
function project(tower: ImageTower, x: Tensor): Tensor {
  for (const path of ['head', 'attnpool.cProj', 'trunk.head.fc', 'trunk.head']) {
    const layer = at(tower, path) as { forward?: (x: Tensor) => Tensor } | undefined;
    if (layer?.forward) return layer.forward(x);
  }
  return matmul(x, at(tower, 'proj') as Tensor);
}

describe('ImageTower.encode', () => {
  for (const name of nano) {
    it(`gives the vector before the projection: ${name}`, () => {
      using model = build(name);
      noGrad(() => {
        scope(() => {
          const { visual } = model;
          const { pooled, representation } = visual.encode(randomPixels(64, 2));
          assert.equal(representation.shape.length, 2);
          assert.equal(representation.dim(0), 2);
          assert.notDeepEqual(representation.toArray(), pooled.toArray());
          const difference = max(abs(sub(project(visual, representation), pooled))).item();
          assert.ok(difference < 1e-6, `${difference}`);
        });
      });
    });

    it(`encodes images of half the size, or refuses them: ${name}`, () => {
      using model = build(name);
      const { vision } = model.config;
      const fixed = ['swin', 'mixer'].includes(vision.type);
      const small = { imageSize: 32 };
      noGrad(() => {
        scope(() => {
          assert.throws(
            () => model.visual.encode(randomPixels(32)),
            /takes pixels \[B, 3, 64, 64\]/,
          );
          const encode = () => model.encodeImage(randomPixels(32), small);
          if (fixed) {
            const message = /takes images of its own size only, 64 pixels, not 32/;
            assert.throws(encode, { message });
            assert.throws(() => modelFlops(model.config, small), { message });
          } else {
            assert.deepEqual(encode().shape, [1, model.config.embedDim]);
            assert.throws(
              () => model.encodeImage(randomPixels(64), small),
              /pixels \[B, 3, 32, 32\]/,
            );
            const ratio = modelFlops(model.config, small).image / modelFlops(model.config).image;
            assert.ok(ratio > 0.15 && ratio < 0.45, `${ratio}`);
          }
        });
      });
    });

    it(`drops patches, or refuses to: ${name}`, () => {
      using model = build(name).train();
      const { vision } = model.config;
      const able = imageTowerKind(vision).dropsPatches === true;
      const generator = new Generator({ seed: 3 });
      noGrad(() => {
        scope(() => {
          const half = { patchDropout: 0.5 };
          const encode = () =>
            model.visual.encode(randomPixels(64, 2), { tokens: true, generator, ...half }).tokens;
          if (!able) {
            const message = new RegExp(`of the type "${vision.type}" cannot drop patches`);
            assert.throws(encode, { message });
            assert.throws(() => modelFlops(model.config, half), { message });
            return;
          }
          const kept = encode()?.dim(1) ?? 0;
          model.eval();
          // Queries are as many, whatever they read.
          const pools = vision.type === 'vit' && vision.attentionalPool !== false;
          assert.equal(encode()?.dim(1), pools ? kept : 2 * kept);
          const { image } = modelFlops(model.config);
          assert.equal(modelFlops(model.config, half).image, image);
          const ratio = modelFlops(model.config, { training: true, ...half }).image / image;
          // A stem of convolutions reads the whole image.
          assert.ok(ratio > 0.45 && ratio < 0.7, `${ratio}`);
        });
      });
    });
  }

  it('refuses impossible sizes and fractions', () => {
    using model = build('ViT-Nano-16-64');
    scope(() => {
      assert.throws(() => model.encodeImage(randomPixels(40), { imageSize: 40 }), {
        message: '"imageSize" of "vision" (40) must be a multiple of "patchSize" (16).',
      });
      assert.throws(
        () => model.encodeImage(randomPixels(64), { patchDropout: 1 }),
        /patch dropout is 1; it must be a fraction of at least 0/,
      );
      assert.throws(
        () => model.train().encodeImage(randomPixels(64), { patchDropout: 0.5 }),
        /Patch dropout needs a random stream/,
      );
    });
  });
});
