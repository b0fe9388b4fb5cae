import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  fromTypedArray,
  Generator,
  noGrad,
  openClipDecayRules,
  Parameter,
  parameterGroups,
  randn,
  scope,
  type Module,
} from '@bantam/torch';
import { createModel, type Clip } from '../clip.js';
import { layerDecay, layerDepths } from './layer-decay.js';
import { modelConfig, presets } from '../presets/presets.js';

const nano = [...presets.keys()].filter((name) => /-(Pico|Nano|Micro)-/.test(name));

/** Parameters in the order in which `run` reads them from their modules for the first time. */
function readingOrder(root: Module, run: () => void): Set<Parameter> {
  const read = new Set<Parameter>();
  for (const module of root.namedModules().values()) {
    for (const [field, value] of Object.entries(module) as [string, unknown][]) {
      if (!(value instanceof Parameter)) continue;
      Object.defineProperty(module, field, {
        configurable: true,
        enumerable: true,
        get: () => {
          read.add(value);
          return value;
        },
      });
    }
  }
  // Listing the parameters reads them all.
  read.clear();
  run();
  return new Set(read);
}

function decoderRun({ textDecoder, config }: Clip): { tower: Module; run: () => void }[] {
  if (textDecoder === null) return [];
  const tokens = randn([2, 5, config.text.width], new Generator({ seed: 3 }));
  return [{ tower: textDecoder, run: () => void textDecoder.forward(tokens, tokens) }];
}

describe('layerDepths', () => {
  for (const preset of nano) {
    it(`rises along the forward pass of ${preset}`, () => {
      scope(() => {
        const config = modelConfig(preset);
        using model = createModel(config, { generator: new Generator({ seed: 1 }) });
        const depths = layerDepths(model);
        const names = new Map([...model.namedParameters()].map(([name, it]) => [it, name]));
        const { imageSize } = config.vision;
        const generator = new Generator({ seed: 2 });
        const pixels = randn([2, 3, imageSize, imageSize], generator);
        const { contextLength, vocabSize } = config.text;
        const ids = fromTypedArray(
          BigInt64Array.from({ length: 2 * contextLength }, (_, i) => BigInt((i * 7) % vocabSize)),
          { shape: [2, contextLength] },
        );
        model.eval();
        const towers = [
          { tower: model.visual, run: () => model.encodeImage(pixels) },
          { tower: model.text, run: () => model.encodeText(ids) },
          ...decoderRun(model),
        ];
        const counted = new Set<string>();
        for (const { tower, run } of towers) {
          const own = tower.parameters();
          const order = readingOrder(tower, () => {
            noGrad(run);
          });
          const seen: number[] = [];
          for (const parameter of own) {
            const name = names.get(parameter) ?? '';
            const found = depths.get(name);
            assert.ok(found, `${name} has no depth`);
            counted.add(name);
            seen.push(found.depth);
          }
          const last = Math.max(...seen);
          // Stem, but for the decoder, head, and every block between them.
          const all = [...Array(last + 1).keys()];
          assert.deepEqual(
            [...new Set(seen)].sort((a, b) => a - b),
            tower === model.textDecoder ? all.slice(1) : all,
          );
          let deepest = 0;
          for (const parameter of order) {
            const name = names.get(parameter) ?? '';
            const { depth = NaN } = depths.get(name) ?? {};
            assert.ok(depth >= deepest, `${name} of depth ${depth} follows depth ${deepest}`);
            deepest = depth;
          }
          assert.equal(deepest, last);
        }
        assert.deepEqual([...depths.keys()].sort(), [...counted].sort());
        const others = [...names.values()].filter((name) => !depths.has(name));
        assert.ok(
          others.every((name) => /^logit_(scale|bias)$/.test(name)),
          others.join(),
        );
      });
    });
  }

  it('counts the blocks of a ViT and of a hierarchical tower', () => {
    const depthsOf = (preset: string) =>
      layerDepths(createModel(modelConfig(preset), { generator: null }));
    const vit = depthsOf('ViT-Nano-16-64');
    assert.deepEqual(vit.get('visual.positional_embedding'), { depth: 0, last: 7 });
    assert.deepEqual(vit.get('visual.transformer.resblocks.5.ln_1.weight'), { depth: 6, last: 7 });
    assert.deepEqual(vit.get('visual.proj'), { depth: 7, last: 7 });
    assert.deepEqual(vit.get('token_embedding.weight'), { depth: 0, last: 5 });
    assert.equal(vit.get('logit_scale'), undefined);
    const convNext = depthsOf('ConvNeXt-Nano-64');
    // Stages of 2, 2, 4 and 2 blocks; what is between two of them goes with the later's first block.
    const blocks = ['0.blocks.1.gamma', '1.downsample.1.weight', '1.blocks.0.gamma'];
    assert.deepEqual(
      blocks.map((name) => convNext.get(`visual.trunk.stages.${name}`)?.depth),
      [2, 3, 3],
    );
    assert.equal(convNext.get('visual.head.proj.weight')?.depth, 11);
  });
});

describe('layerDecay', () => {
  it('scales the learning rate of groups by the depth', () => {
    const model = createModel(modelConfig('ViT-Nano-16-64'), { generator: null });
    const groups = parameterGroups(model, openClipDecayRules, { lrScale: layerDecay(model, 0.5) });
    const scaleOf = (wanted: string) =>
      groups.find(({ parameters }) => parameters.has(wanted))?.lrScale;
    assert.equal(scaleOf('visual.conv1.weight'), 0.5 ** 7);
    assert.equal(scaleOf('visual.transformer.resblocks.0.attn.in_proj_weight'), 0.5 ** 6);
    assert.equal(scaleOf('visual.transformer.resblocks.0.attn.in_proj_bias'), 0.5 ** 6);
    assert.equal(scaleOf('text_projection'), 1);
    assert.equal(scaleOf('token_embedding.weight'), 0.5 ** 5);
    assert.equal(scaleOf('logit_scale'), 1);
    assert.equal(
      groups.reduce((sum, { parameters }) => sum + parameters.size, 0),
      model.parameters().length,
    );
  });
});
