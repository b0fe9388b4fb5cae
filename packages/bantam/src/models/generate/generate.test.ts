import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  abs,
  Generator,
  logSoftmax,
  max,
  memoryStats,
  mul,
  narrow,
  noGrad,
  normalInit,
  randn,
  scope,
  select,
  softmax,
  sub,
  tensor,
  type Tensor,
} from '@bantam/torch';
import { createModel, type Clip } from '../clip.js';
import { parseModelConfig, type ModelConfigInput } from '../config.js';
import { modelConfig } from '../presets/presets.js';
import { CaptionWriter } from './caption-writer.js';
import { generateIds, type GenerateOptions } from './generate.js';
import { sampleToken, filterLogits } from './next-token.js';

const ends = { startId: 1, endId: 2, padId: 0 };

/** A small model whose weights are large enough that images and tokens tell. */
function build({ text, ...changes }: ModelConfigInput = {}): Clip {
  const config = parseModelConfig({
    embedDim: 16,
    customText: true,
    vision: {
      imageSize: 8,
      patchSize: 4,
      width: 16,
      headWidth: 8,
      layers: 1,
      patchDropout: 0.5,
      attentionalPool: true,
      attnPoolerQueries: 4,
      attnPoolerHeads: 2,
    },
    text: {
      ...{ width: 16, heads: 2, layers: 2, vocabSize: 12, contextLength: 9, embedCls: true },
      ...text,
    },
    decoder: { layers: 2, heads: 4 },
    ...changes,
  });
  const generator = new Generator({ seed: 5 });
  const model = createModel(config, { generator });
  for (const parameter of model.parameters()) {
    if (parameter.rank > 1) normalInit(parameter, generator, { std: 0.6 });
  }
  return model.eval();
}

const images = (count: number) => randn([count, 3, 8, 8], new Generator({ seed: 6 }));

/** Logits of the token after ids [N, L], computed anew; N is a multiple of the images. */
function afresh(model: Clip, pixels: Tensor, ids: Tensor): Tensor {
  const image = model.visual.encode(pixels, { tokens: true }).tokens ?? assert.fail();
  const text = model.text.encode(ids, { tokens: true }).tokens ?? assert.fail();
  const each = ids.dim(0) / pixels.dim(0);
  const logits = Array.from({ length: ids.dim(0) }, (_, row) => {
    const own = narrow(image, 0, Math.floor(row / each), 1);
    return model.textDecoder?.forward(narrow(text, 0, row, 1), own) ?? assert.fail();
  });
  const rows = logits.map((all) => select(select(all, 1, ids.dim(1) - 1), 0, 0).toArray());
  return tensor(rows);
}

describe('CaptionWriter', () => {
  for (const [name, changes] of Object.entries<ModelConfigInput>({
    'a class token': {},
    'a plain text tower': { text: { embedCls: false } },
    'layer scale': { decoder: { layers: 1, heads: 2, lsInitValue: 0.5 }, text: { lsInitValue: 2 } },
    patches: { vision: { imageSize: 8, patchSize: 4, width: 16, headWidth: 8, layers: 1 } },
  })) {
    it(`computes with caches the logits of the whole captions: ${name}`, () => {
      using model = build(changes);
      noGrad(() => {
        scope(() => {
          const pixels = images(2);
          using writer = new CaptionWriter(model, pixels, { maxTokens: 9 });
          const drawn = new Generator({ seed: 7 });
          // Six captions, three of each image; padding's id is a token as any other.
          let rows = Array.from({ length: 6 }, () => [1]);
          for (let length = 1; length < 9; length++) {
            const ids = tensor(rows, { dtype: 'int64' });
            const logits = writer.next(ids);
            const wanted = afresh(model, pixels, ids);
            const error = max(abs(sub(logits, wanted))).item();
            const size = Math.max(1, max(abs(wanted)).item());
            assert.ok(error < 1e-5 * size, `${length} tokens: ${error}`);
            const tokens = sampleToken(logits, 1, [drawn]).toArray();
            const from = [1, 0, 1, 5, 3, 3];
            writer.reorder(from);
            rows = from.map((row) => [...(rows[row] ?? []), tokens[row] ?? 0]);
          }
          // Rows 1 and 3 were taken twice.
          assert.equal(new Set(rows.map(String)).size, 4);
        });
      });
    });
  }
});

describe('generateIds', () => {
  it('samples equal captions from equal random streams only', () => {
    using model = build();
    const draw = (seed: number, options: GenerateOptions = {}) =>
      generateIds(model, images(3), {
        ...{ ...ends, method: 'sample', count: 4, maxTokens: 9 },
        generator: new Generator({ seed }),
        ...options,
      });
    const first = draw(1);
    assert.deepEqual(draw(1), first);
    assert.notDeepEqual(draw(2), first);
    assert.deepEqual(
      first.map((captions) => captions.length),
      [4, 4, 4],
    );
    assert.ok(new Set(first.flat().map(String)).size > 6);
    for (const caption of first.flat()) {
      assert.ok(caption[0] === 1 && caption.length >= 2 && caption.length <= 9);
      assert.ok([0, 2].includes(caption.at(-1) ?? NaN), 'it ends');
    }
    const greedy = generateIds(model, images(3), { ...ends, maxTokens: 9 });
    const likeliest = draw(3, { topK: 1 }).map(([caption]) => [caption]);
    assert.deepEqual(likeliest, greedy);
    assert.deepEqual(draw(3, { temperature: 1e-4 }).map(([caption]) => [caption]), greedy); // prettier-ignore
  });

  it('finds the caption of highest mean score when beams hold all captions', () => {
    using model = build({ text: { vocabSize: 4 } });
    const options = { ...ends, maxTokens: 4, minTokens: 1, method: 'beam', beams: 30 } as const;
    const found = generateIds(model, images(2), { ...options, count: 3 });
    for (const [image, captions] of found.entries()) {
      const best = everyCaption(model, narrow(images(2), 0, image, 1), 4);
      const lists = best.slice(0, 3).map(({ ids }) => ids);
      assert.deepEqual(captions, lists);
    }
  });

  it('writes in evaluation mode, independently of the batch, and frees its tensors', () => {
    using model = build().train();
    const pixels = images(3);
    for (const method of ['greedy', 'beam'] as const) {
      const { liveTensors } = memoryStats();
      const all = generateIds(model, pixels, { ...ends, method });
      assert.ok(model.training && model.visual.training);
      assert.equal(memoryStats().liveTensors, liveTensors);
      const alone = scope(() => generateIds(model, narrow(pixels, 0, 1, 1), { ...ends, method }));
      assert.deepEqual(alone[0], all[1]);
    }
  });

  it('refuses options that contradict each other', () => {
    using model = build();
    const refused: [GenerateOptions, RegExp][] = [
      [{ count: 2 }, /"greedy" writes one caption for an image, not 2; choose "sample"/],
      [{ method: 'sample' }, /"sample" needs a "generator"/],
      [{ method: 'beam', beams: 2, count: 3 }, /2 beams cannot give 3 captions; raise/],
      [{ minTokens: 9, maxTokens: 9 }, /up to 9 tokens cannot have 9 before their end; lower/],
      [{ temperature: 0 }, /"temperature" is 0; it must be above 0/],
      [{ topP: 1.5 }, /"topP" is 1\.5; it must be above 0 and at most 1/],
      [{ maxTokens: 10 }, /up to 10 tokens do not fit the model's context of 9/],
    ];
    for (const [options, message] of refused) {
      assert.throws(() => generateIds(model, images(1), { ...ends, ...options }), { message });
    }
    using plain = createModel(modelConfig('ViT-Pico-8-64'), { generator: null });
    const pixels = randn([1, 3, 64, 64], new Generator());
    assert.throws(() => generateIds(plain, pixels, ends), { message: /has no decoder.*coca_ViT/ });
  });
});

/** All captions of up to `maxTokens` tokens with their mean log-probability, best first. */
function everyCaption(model: Clip, pixels: Tensor, maxTokens: number) {
  const whole: { ids: number[]; score: number }[] = [];
  const extend = (ids: number[], score: number): void => {
    if (ids.at(-1) === ends.endId || ids.length === maxTokens) {
      whole.push({ ids, score: score / ids.length });
      return;
    }
    const logits = afresh(model, pixels, tensor([ids], { dtype: 'int64' }));
    for (const [token, log] of logSoftmax(logits, 1).toArray().entries()) {
      extend([...ids, token], score + log);
    }
  };
  noGrad(() => {
    scope(() => {
      extend([ends.startId], 0);
    });
  });
  return whole.sort((a, b) => b.score - a.score);
}

describe('filterLogits', () => {
  it('keeps the fewest likeliest tokens that make up topP, of sharp and flat distributions', () => {
    scope(() => {
      const generator = new Generator({ seed: 6 });
      for (const spread of [0.01, 1, 8]) {
        const logits = mul(randn([1, 3000], generator), spread);
        const chances = softmax(logits, 1).toArray();
        const likeliest = [...chances.entries()].sort(([, a], [, b]) => b - a);
        let before = 0;
        const wanted = new Set<number>();
        for (const [token, chance] of likeliest) {
          if (before < 0.9) wanted.add(token);
          before += chance;
        }
        const filtered = filterLogits(logits, { topK: 0, topP: 0.9 }).toArray();
        const found = [...filtered.keys()].filter((token) => filtered[token] !== -Infinity);
        // Sums of float32 may differ on the last token.
        assert.ok(Math.abs(found.length - wanted.size) <= 1, `${found.length}, ${wanted.size}`);
        assert.ok(found.filter((token) => !wanted.has(token)).length <= 1);
        const given = logits.toArray();
        assert.ok(found.every((token) => filtered[token] === given[token]));
      }
    });
  });
});

describe('sampleToken', () => {
  it('samples each token at its probability, and no filtered one', () => {
    scope(() => {
      const logits = tensor([[0.5, -1, 2, 0, 1.2, -3]]);
      const temperature = 0.8;
      const filtered = filterLogits(logits, { topK: 5, topP: 0.95 });
      const wanted = softmax(tensor([filtered.toArray().map((x) => x / temperature)]), 1).toArray();
      const generator = new Generator({ seed: 8 });
      const counts = wanted.map(() => 0);
      const rows = tensor(Array.from({ length: 20000 }, () => filtered.toArray()));
      for (const token of sampleToken(rows, temperature, [generator]).toArray()) {
        counts[token] = (counts[token] ?? 0) + 1;
      }
      for (const [token, share] of wanted.entries()) {
        const found = (counts[token] ?? 0) / 20000;
        assert.ok(
          Math.abs(found - share) <= 4 * Math.sqrt((share * (1 - share)) / 20000),
          `${token}`,
        );
      }
      assert.equal(wanted.filter((share) => share === 0).length, 2);
    });
  });
});
