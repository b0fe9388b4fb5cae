import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BantamError } from '../base/errors.js';
import { mlpWidth } from './blocks/transformer-config.js';
import { parseModelConfig, withChanges, type ModelConfigInput } from './config.js';
import { modelConfig } from './presets/presets.js';
import { gridSize } from './blocks/patches.js';
import { visionHeads } from './towers/image/vit.js';

function refused(read: () => unknown, message: RegExp): void {
  assert.throws(read, (error) => error instanceof BantamError && message.test(error.message));
}

describe('parseModelConfig', () => {
  it("fills up with OpenCLIP's defaults, which are those of ViT-B-16", () => {
    assert.deepEqual(parseModelConfig({ embedDim: 512 }), modelConfig('ViT-B-16'));
  });

  it('names an unknown setting and the nearest known one', () => {
    refused(
      () => parseModelConfig({ embedDim: 8, quickgelu: true }),
      /no setting "quickgelu" \(did you mean "quickGelu"\?\)\.$/,
    );
    refused(
      () => parseModelConfig({ embedDim: 8, text: { contextLenght: 8 } }),
      /"text" of the model configuration has no setting "contextLenght" \(did you mean "contextLength"\?\)\.$/,
    );
  });

  it('names a missing setting and one that is not accepted', () => {
    refused(() => parseModelConfig({}), /lacks "embedDim", a whole number/);
    refused(() => parseModelConfig([]), /must be an object/);
    refused(
      () => parseModelConfig({ embedDim: 8, vision: [] }),
      /"vision" of .* must be an object/,
    );
    const wrong: [object, RegExp][] = [
      [{ width: 0 }, /"width" of "vision" of .* is 0; it must be a whole number of at least 1/],
      [{ width: '768' }, /"width" of "vision" of .* is "768"/],
      [{ patchDropout: 1 }, /"patchDropout" of .* is 1; it must be a number of at least 0/],
      [{ poolType: 'max' }, /"poolType" of .* is "max"; it must be "tok" or "avg"/],
      [{ lsInitValue: -1 }, /"lsInitValue" of .* is -1; it must be a number above 0/],
    ];
    for (const [vision, message] of wrong) {
      refused(() => parseModelConfig({ embedDim: 8, vision }), message);
    }
  });

  it('refuses sizes that do not fit together', () => {
    const wrong: [object, RegExp][] = [
      [{ vision: { patchSize: 15 } }, /"imageSize" of "vision" \(224\).*"patchSize" \(15\)/],
      [{ vision: { headWidth: 100 } }, /"width" of "vision" \(768\).*"headWidth" \(100\)/],
      [{ text: { heads: 7 } }, /"width" of "text" \(512\).*"heads" \(7\)/],
      [{ text: { projType: 'none' } }, /"embedDim" \(8\)/],
      [{ text: { poolType: 'eos', eosId: 9, vocabSize: 9 } }, /"eosId" of "text" is 9/],
      [{ text: { poolType: 'last', padId: 9, vocabSize: 9 } }, /"padId" of "text" is 9/],
      [{ vision: { mlpRatio: 1e-4 } }, /"mlpRatio" of "vision"/],
    ];
    for (const [part, message] of wrong) {
      refused(() => parseModelConfig({ embedDim: 8, ...part }), message);
    }
  });
});

describe("a decoder's configuration", () => {
  const coca = modelConfig('coca_ViT-Nano-16-64');

  it('is changed by members, taken away by null, and otherwise kept', () => {
    const { decoder } = coca;
    assert.deepEqual(withChanges(coca, { decoder: { layers: 1 } }).decoder, {
      ...decoder,
      layers: 1,
    });
    assert.equal(withChanges(coca, { decoder: null }).decoder, null);
    assert.deepEqual(withChanges(coca, { quickGelu: true }).decoder, decoder);
    assert.equal(withChanges(modelConfig('ViT-S-16'), { quickGelu: true }).decoder, null);
  });

  it('is refused in a model that it does not fit', () => {
    const wrong: [ModelConfigInput, RegExp][] = [
      [
        { customText: false },
        /"decoder" keeps its text parameters under "text\."; set "customText"/,
      ],
      [
        { vision: { type: 'mixer', imageSize: 64 } },
        /reads the tokens of a "vision" of type "vit", not "mixer"/,
      ],
      [{ text: { noCausalMask: true } }, /needs a "text" of type "transformer" with a causal mask/],
      [{ text: { block: 'sas-p' } }, /with a causal mask and plain blocks/],
      [
        { text: { maskPadding: true } },
        /"maskPadding" of "text" is without effect beside "embedCls"/,
      ],
      [{ text: { padId: 4096 } }, /"padId" of "text" is 4096/],
      [
        { text: { width: 96 } },
        /as wide as "text" \(96\), but the image's tokens have a width of 192/,
      ],
      [
        { decoder: { heads: 5 } },
        /"width" of "text" \(192\) must be a multiple of "heads" of "decoder" \(5\)/,
      ],
      [
        { vision: { attnPoolerQueries: 1 } },
        /no token of the image to read; set "attnPoolerQueries"/,
      ],
    ];
    for (const [changes, message] of wrong) refused(() => withChanges(coca, changes), message);
    refused(
      () => parseModelConfig({ ...coca, decoder: { layer: 2 } }),
      /"decoder" of the model configuration has no setting "layer" \(did you mean "layers"\?\)/,
    );
  });
});

describe('ModelConfigInput', () => {
  it('rejects wrong settings at compile time, by the type of the tower', () => {
    const accepted: ModelConfigInput[] = [
      { vision: { type: 'convnext', depths: [1, 1, 2, 1] }, decoder: null },
      { vision: { imageSize: 64 }, text: { poolType: 'mean', noCausalMask: true } },
      { vision: { moe: { experts: 4 } } },
    ];
    const rejected: ModelConfigInput[] = [
      // @ts-expect-error -- no such setting
      { embeddim: 8 },
      // @ts-expect-error -- a ConvNeXt has no heads
      { vision: { type: 'convnext', headWidth: 8 } },
      // @ts-expect-error -- no such type
      { vision: { type: 'vitt' } },
      // @ts-expect-error -- no such pooling
      { text: { poolType: 'max' } },
    ];
    for (const changes of accepted) parseModelConfig({ embedDim: 8, ...changes });
    for (const changes of rejected) {
      refused(() => parseModelConfig({ embedDim: 8, ...changes }), /no setting|must be/);
    }
  });
});

describe('withChanges', () => {
  it('changes the given settings of a tower and keeps the others', () => {
    const before = modelConfig('ViT-S-16');
    const after = withChanges(before, { text: { vocabSize: 1000, contextLength: 32 } });
    assert.deepEqual(after, {
      ...before,
      text: { ...before.text, vocabSize: 1000, contextLength: 32 },
    });
  });
});

describe('derived sizes', () => {
  it('are those of ViT-H-14 and, rounded down, of a fractional ratio', () => {
    const { vision } = modelConfig('ViT-H-14');
    assert.ok(vision.type === 'vit');
    assert.equal(gridSize(vision), 16);
    assert.equal(visionHeads(vision), 16);
    assert.equal(mlpWidth({ ...vision, width: 1664, mlpRatio: 4.9231 }), 8192);
  });
});
