import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Generator, noGrad, normalize, randn, scope, type Tensor } from '@bantam/torch';
import {
  agreementOf,
  exportBounds,
  exportPrecisions,
  loadOnnxRuntime,
  modelGraph,
  recordTowers,
  unitRows,
  writeOnnx,
  type ExportPrecision,
  type GraphPart,
  type OnnxRuntime,
} from '../dist/export/index.js';
import { modelConfig, type Clip, type ModelConfig } from '../dist/models/index.js';
import { exportableModel, sampleIds, toRuntime } from './onnx-subject.js';

type Changes = NonNullable<Parameters<typeof modelConfig>[1]>;

const text = { width: 16, heads: 2, layers: 2, vocabSize: 300, contextLength: 12 } as const;

/** A small model of a preset's kind. */
function small(preset: string, { vision = {}, text: own = {}, ...rest }: Changes): ModelConfig {
  return modelConfig(preset, { embedDim: 16, vision, text: { ...text, ...own }, ...rest });
}

const vit = { imageSize: 16, patchSize: 4, width: 16, headWidth: 8, layers: 2 } as const;

const timmVit = { width: 16, heads: 2, layers: 2 } as const;
const eva = { ...timmVit, imageSize: 40 } as const;
const perception = {
  ...{ block: 'pre-norm', keyBias: true, preNorm: true, classToken: false },
  ...{ poolType: 'map', poolHeads: 2 },
} as const;

const imageTowers: Readonly<Record<string, ModelConfig>> = {
  ViT: small('ViT-Nano-16-64', { vision: vit }),
  'ViT with mean pooling, layer scale and fixed positions': small('ViT-Nano-16-64', {
    vision: { ...vit, poolType: 'avg', lsInitValue: 0.1, posEmbedType: 'sin_cos_2d' },
  }),
  'ViT with QuickGELU, mixtures of experts': small('MoE-ViT-Nano-16-64', {
    quickGelu: true,
    vision: vit,
  }),
  'ViT with attentional pooling': small('coca_ViT-Nano-16-64', {
    vision: { ...vit, attnPoolerQueries: 5, attnPoolerHeads: 2 },
    decoder: null,
  }),
  'SAS-P': small('SAS-P-ViT-Nano-16-64', { vision: vit }),
  ModifiedResNet: small('ModifiedResNet-Nano-64', { vision: { width: 4, headWidth: 32 } }),
  ResNet: small('ResNet-Nano-64', { vision: { imageSize: 40, width: 4 } }),
  ConvNeXt: small('ConvNeXt-Nano-64', {
    vision: { imageSize: 37, width: 8, depths: [1, 1, 1, 1] },
  }),
  Swin: small('Swin-Nano-64', { vision: {} }),
  Mixer: small('Mixer-Nano-64', { vision: { layers: 2, width: 16 } }),
  SigLIP: small('SigLIP-Nano-64', { vision: { width: 16, heads: 2, layers: 2, imageSize: 24 } }),
  MobileCLIP: small('MobileCLIP-Nano-64', { vision: { depths: [1, 1, 1, 1] }, text: { heads: 2 } }),
  SiCLIP: small('SiCLIP-Nano-64', { vision: { depths: [1, 1, 1, 2] }, text: { heads: 2 } }),
  'MobileCLIP of five stages': small('MobileCLIP-Nano-64', {
    vision: { widths: [16, 16, 32, 32, 64], depths: [1, 1, 1, 1, 1] },
    text: { heads: 2 },
  }),
  EVA: small('EVA-Nano-64', { vision: eva }),
  'EVA with layer norms after its branches': small('EVA-Nano-64', {
    vision: { ...eva, block: 'post-norm', rotary: null },
  }),
  'Perception Encoder': small('EVA-Nano-64', {
    vision: { ...eva, ...perception, rotary: { grid: 3, offset: 1, order: 'xy' } },
  }),
  ViTamin: small('ViTamin-Nano-64', { vision: { imageSize: 40, stemWidth: 8, ...timmVit } }),
  'ViT with three convolutions': small('ViTamin-Nano-64', {
    vision: { ...timmVit, stem: 'convolutions', poolType: 'tok', posEmbed: 'patches', proj: 'own' },
  }),
  'ViT with global average pooling': small('ViTamin-Nano-64', {
    vision: {
      ...{ ...timmVit, stem: 'patches', mlp: 'gelu', finalLnAfterPool: false },
      ...{ qkvBias: false, lsInitValue: 0.1, preNorm: true },
    },
  }),
};

const textTowers: Readonly<Record<string, ModelConfig>> = {
  'causal text': small('ViT-Nano-16-64', { vision: vit }),
  'text pooled at its end token': small('ViT-Nano-16-64', {
    vision: vit,
    text: { poolType: 'eos', eosId: 299, projBias: true },
  }),
  'text without a causal mask, its mean': small('ViT-Nano-16-64', {
    vision: vit,
    text: { noCausalMask: true, maskPadding: true, poolType: 'mean' },
  }),
  'text pooled at its last position': small('SigLIP-Nano-64', {
    vision: { width: 16, heads: 2, layers: 1 },
    text: { layers: 2 },
  }),
  'text with a class token': small('coca_ViT-Nano-16-64', {
    vision: { ...vit, attnPoolerQueries: 5, attnPoolerHeads: 2 },
    decoder: null,
  }),
  'text with mixtures of experts': small('MoE-ViT-Nano-16-64', { vision: vit }),
  'text of SAS-P blocks': small('SAS-P-ViT-Nano-16-64', { vision: vit }),
  'hybrid text': small('MobileCLIP-Nano-64', {
    vision: { depths: [1, 1, 1, 1] },
    text: { heads: 2 },
  }),
  ...Object.fromEntries(
    (['mean', 'pooler'] as const).map((poolType) => [
      `text of BERT's kind, ${poolType}`,
      small('ViT-Nano-16-64', {
        vision: vit,
        customText: true,
        text: { type: 'bert', ...text, poolType, countsTokens: poolType === 'mean' },
      }),
    ]),
  ),
  'text of a context of 4 tokens': small('ViT-Nano-16-64', {
    vision: vit,
    text: { contextLength: 4 },
  }),
};

/**
 * Untrained routers choose between nearly equal experts, and at these widths a rounded weight changes
 * the choice.
 */
function precisionsOf({ vision, text }: ModelConfig): readonly ExportPrecision[] {
  const routes = [vision, text].some((tower) => 'moe' in tower && tower.moe !== null);
  return exportPrecisions.filter((precision) => precision !== 'q8' || !routes);
}

let runtime: OnnxRuntime;
let folder: string;

before(async () => {
  runtime = await loadOnnxRuntime();
  folder = mkdtempSync(join(tmpdir(), 'bantam-export-'));
});

after(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** Rows of length 1 of the model itself. */
function own(encode: () => Tensor): Float32Array {
  return noGrad(() => scope(() => Float32Array.from(normalize(encode()).toTypedArray(), Number)));
}

interface Subject {
  readonly model: Clip;
  readonly part: Exclude<GraphPart, 'both'>;
  readonly precision: ExportPrecision;
}

/** Asserts that a graph gives the model's features, for every input. */
async function assertEqualFeatures(
  { model, part, precision }: Subject,
  inputs: readonly Tensor[],
): Promise<void> {
  const file = join(folder, `${part}.onnx`);
  const programs = recordTowers(model.config);
  await writeOnnx(file, modelGraph(model, { programs, part, precision }));
  const session = await runtime.open(file);
  for (const input of inputs) {
    const key = part === 'image' ? 'pixel_values' : 'input_ids';
    const output = await session.run({ [key]: toRuntime(runtime, input) });
    const { embedDim } = model.config;
    const found = unitRows(output[`${part}_embeds`], embedDim);
    const wanted = own(() =>
      part === 'image' ? model.encodeImage(input) : model.encodeText(input),
    );
    assert.equal(found.length, wanted.length);
    const { largestDifference, leastCosine } = agreementOf(found, wanted, embedDim);
    const message = `${precision} [${input.shape.join()}]: ${largestDifference}, ${leastCosine}`;
    if (precision === 'fp32') assert.ok(largestDifference <= 1e-5, message);
    else assert.ok(leastCosine >= exportBounds[precision], message);
  }
  await session.release();
}

/** Batches that were not recorded, 1 among them. */
function images({ vision: { imageSize } }: ModelConfig): Tensor[] {
  const generator = new Generator({ seed: 2 });
  return [1, 4].map((batch) => randn([batch, 3, imageSize, imageSize], generator));
}

/** Texts of the whole context, and shorter ones. */
function texts(config: ModelConfig): Tensor[] {
  const { contextLength } = config.text;
  return [contextLength, contextLength - 1, 2].map((length) => sampleIds(config, length));
}

describe('exported graphs', () => {
  for (const [name, config] of Object.entries(imageTowers)) {
    for (const precision of precisionsOf(config)) {
      it(`give the features of images: ${name}, ${precision}`, async () => {
        using model = exportableModel(config);
        await assertEqualFeatures({ model, part: 'image', precision }, images(config));
      });
    }
  }

  for (const [name, config] of Object.entries(textTowers)) {
    for (const precision of precisionsOf(config)) {
      it(`give the features of texts: ${name}, ${precision}`, async () => {
        using model = exportableModel(config);
        await assertEqualFeatures({ model, part: 'text', precision }, texts(config));
      });
    }
  }

  for (const preset of ['ViT-Nano-16-64', 'SigLIP-Nano-64']) {
    it(`give the logits of images and texts: ${preset}`, async () => {
      using model = exportableModel(
        preset === 'ViT-Nano-16-64'
          ? small(preset, { vision: vit })
          : small(preset, { vision: { width: 16, heads: 2, layers: 1 } }),
      );
      const { config, logitBias } = model;
      const file = join(folder, 'both.onnx');
      const programs = recordTowers(config);
      await writeOnnx(file, modelGraph(model, { programs, part: 'both', precision: 'fp32' }));
      const session = await runtime.open(file);
      const [, pixels] = images(config);
      const [ids] = texts(config);
      assert.ok(pixels && ids);
      const { logits_per_image: logits } = await session.run({
        pixel_values: toRuntime(runtime, pixels),
        input_ids: toRuntime(runtime, ids),
      });
      await session.release();
      const [x, y] = [own(() => model.encodeImage(pixels)), own(() => model.encodeText(ids))];
      const scale = Math.exp(model.logitScale.item());
      const bias = logitBias === null ? 0 : logitBias.item();
      const { embedDim } = config;
      assert.deepEqual(logits?.dims, [4, 3]);
      const found = Array.from(logits.data as Float32Array);
      for (const [i, value] of found.entries()) {
        const [row, column] = [Math.floor(i / 3), i % 3];
        let cosine = 0;
        for (let k = 0; k < embedDim; k++) {
          cosine += Number(x[row * embedDim + k]) * Number(y[column * embedDim + k]);
        }
        assert.ok(Math.abs(value - (scale * cosine + bias)) < 1e-4, `${value} at ${i}`);
      }
      assert.equal(logitBias === null, preset === 'ViT-Nano-16-64');
    });
  }
});
