import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadModel } from '../models/index.js';
import type { Tokenizer } from '../text/index.js';
import { tinyModel } from '../test-support/tiny-model.js';
import { evaluate } from './evaluate.js';
import { openSuite } from './suite/suite.js';

const cacheDir = mkdtempSync(join(tmpdir(), 'bantam-published-'));
after(() => {
  rmSync(cacheDir, { recursive: true });
});

const fixture = (name: string): string =>
  fileURLToPath(new URL(`../../fixtures/${name}`, import.meta.url));

describe("DataComp's shards with metadata", () => {
  it('give the accuracy of the worst region, WILDS’ Other left out', async () => {
    const { suite } = await openSuite('datacomp', { root: fixture('data') });
    const found = suite.datasets.find(({ name }) => name === 'wilds/fmow') ?? assert.fail();
    const { name, metric = '', groups = [] } = found;
    assert.match(found.data, /wds_wilds-fmow_test\?npy=region:Asia/);
    const spec = found.data.replace('{root}', fixture('data'));
    const [result] = await evaluate(tinyModel(), [{ name, spec, groups }], {
      tasks: ['zero-shot'],
      details: true,
      cacheDir,
    });
    const [byRegion] = result?.groups ?? [];
    const regions = byRegion?.groups ?? [];
    assert.deepEqual(
      regions.map((region) => [region.name, region.samples]),
      ['Africa', 'Americas', 'Asia', 'Europe', 'Oceania', 'Other'].map((region) => [region, 2]),
    );
    const recalls = regions.filter((region) => region.name !== 'Other').map(({ recall }) => recall);
    assert.equal(result?.metrics[metric], Math.min(...recalls));
    assert.ok('F1-macro_all' in result.metrics && 'acc_top5_worst_region' in result.metrics);
  });
});

describe('multi-label shards', () => {
  const spec = `wds:${fixture('data/wds_voc2007_multilabel')}`;

  it('give the mean average precision and nothing of accuracy', async () => {
    const results = await evaluate(tinyModel(), [spec], { details: true, cacheDir });
    const [result] = results;
    assert.deepEqual(Object.keys(result?.metrics ?? {}), ['mean_average_precision']);
    assert.deepEqual([result?.samples, result?.classes], [8, 3]);
    assert.deepEqual(
      result?.classPrecisions?.map(({ name, samples }) => [name, samples]),
      [
        ['aeroplane', 4],
        ['bicycle', 3],
        ['bird', 3],
      ],
    );
    const { mean_average_precision: chance = NaN } = result.chance;
    assert.ok(Number(chance) > 0.4 && Number(chance) < 0.7);
  });

  it('are refused by probes in one sentence', async () => {
    const probing = evaluate(tinyModel(), [spec], { tasks: ['few-shot'], cacheDir });
    await assert.rejects(
      probing,
      /have several classes each, and few-shot needs one for each image/,
    );
  });
});

describe("Karpathy's splits from a coco: source", () => {
  /** The tokens of fixtures/generate_multilabel.py: one for each letter. */
  const context = 12;
  const encode = (text: string): number[] => {
    const letters = Array.from(text.slice(0, context - 2), (letter) => 1 + (letter.codePointAt(0) ?? 0) % 90); // prettier-ignore
    return [94, ...letters, 95];
  };
  const tokenizer: Tokenizer = {
    ...{ vocabSize: 96, contextLength: context, sotId: 94, eotId: 95, padId: 0, encode },
    encodeBatch(texts) {
      const ids = new BigInt64Array(texts.length * context);
      texts.forEach((text, row) => {
        ids.set(encode(text).map(BigInt), row * context);
      });
      return { ids, shape: [texts.length, context] };
    },
    decode: (ids) => Array.from(ids, String).join(' '),
    save: () => Promise.reject(new Error('nothing to save')),
  };

  it("give CLIP_benchmark's recalls with protocol karpathy, every caption a query", async () => {
    const expected = JSON.parse(readFileSync(fixture('eval/karpathy.json'), 'utf8')) as {
      images: number;
      captions: number;
      metrics: Record<string, number>;
    };
    // Its own tokenizer is missing, and would be asked for by a copy of all members.
    const { model, config, preprocess, info } = await loadModel(fixture('models/gelu'));
    const loaded = { model, config, preprocess, info, tokenizer };
    const folder = fixture('data/karpathy');
    const spec = `coco:${join(folder, 'dataset.json')}?images=${folder}&split=test`;
    const [result] = await evaluate(loaded, [spec], {
      tasks: ['retrieval'],
      protocols: ['karpathy'],
    });
    assert.deepEqual([result?.samples, result?.captions], [expected.images, expected.captions]);
    for (const [metric, value] of Object.entries(expected.metrics)) {
      assert.ok(Math.abs(Number(result?.metrics[metric]) - value) < 1e-6, metric);
    }
  });
});
