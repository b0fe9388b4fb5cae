import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  dims,
  loadSafetensors,
  prepareDevice,
  parseDevice,
  scope,
  synchronize,
  type Device,
  type FloatDType,
} from '@bantam/torch';
import {
  encodePixels,
  encodeTexts,
  loadForInference,
  loadModel,
  type InferenceModel,
  type MetricsRow,
} from 'bantam';
import {
  createStrategy,
  resolveConfig,
  Trainer,
  type Batch,
  type BatchStream,
} from 'bantam/experimental';
import type { Checked, ModelWorkload, Precision, Ran } from './protocol.js';

/** Steps whose losses both implementations compare. */
const checkedSteps = 3;

/** A workload that a worker has open. */
export interface OpenWorkload {
  check(): Promise<Checked>;
  run(steps: number): Promise<Ran>;
}

/** libtorch's name of a precision. */
export function dtypeOf(precision: Precision): FloatDType {
  return precision === 'bf16' ? 'bfloat16' : 'float32';
}

/** Makes a workload of the files that `prepare` wrote. */
export async function openModelWorkload(workload: ModelWorkload): Promise<OpenWorkload> {
  const batches = await readBatches(workload.folder);
  const device = prepareDevice(parseDevice(workload.device));
  if (workload.kind === 'train') return training(workload, device, batches);
  const { precision } = workload;
  const model = await loadForInference(join(workload.folder, 'model'), { precision, device });
  return workload.kind === 'image' ? imageInference(model, batches) : textInference(model, batches);
}

interface ReadyBatch {
  readonly captions: readonly string[];
  /** uint8 [B, S, S, 3] */
  readonly pixels: Uint8Array<ArrayBuffer>;
  readonly resolution: number;
}

async function readBatches(folder: string): Promise<ReadyBatch[]> {
  const captions = JSON.parse(await readFile(join(folder, 'captions.json'), 'utf8')) as string[];
  return scope(() => {
    const pixels = loadSafetensors(join(folder, 'batches.safetensors')).tensors.get('pixels');
    if (pixels === undefined) throw new RangeError(`${folder} has no pixels.`);
    const [count, size, resolution] = dims(pixels, 5);
    const all = pixels.toTypedArray() as Uint8Array<ArrayBuffer>;
    const bytes = all.length / count;
    return Array.from({ length: count }, (_, i) => ({
      captions: captions.slice(i * size, (i + 1) * size),
      pixels: all.slice(i * bytes, (i + 1) * bytes),
      resolution,
    }));
  });
}

function batchAt(batches: readonly ReadyBatch[], step: number): ReadyBatch {
  const batch = batches[step % batches.length];
  if (batch === undefined) throw new RangeError('There are no batches.');
  return batch;
}

/** A loader that repeats the batches. */
function readyLoader(batches: readonly ReadyBatch[]): BatchStream {
  return {
    waitSeconds: 0,
    async *batches() {
      for (let step = 0; ; step++) {
        const { captions, pixels, resolution } = batchAt(batches, step);
        const batch: Batch = {
          images: { image: pixels },
          height: resolution,
          width: resolution,
          size: captions.length,
          captions,
          indices: Int32Array.from(captions, (_, i) => i),
          keys: captions,
          epoch: 0,
          next: { epoch: 0, position: step },
        };
        yield await Promise.resolve(batch);
      }
    },
  };
}

/** The trainer's own loop, as `bantam train` runs it. */
async function training(
  { folder, precision, optimizer }: ModelWorkload,
  device: Device,
  batches: readonly ReadyBatch[],
): Promise<OpenWorkload> {
  if (precision === 'int8') throw new RangeError('Nothing is trained in int8.');
  const { config: model, tokenizer, model: unused } = await loadModel(join(folder, 'model'));
  unused.dispose();
  const config = resolveConfig({
    model,
    data: 'ready batches',
    budget: '1e15samples',
    // The seed that initialised the weights of the model directory.
    seed: 0,
    train: {
      ...optimizer,
      batchSize: batchAt(batches, 0).captions.length,
      schedule: 'constant',
      warmup: 0,
      clipNorm: 0,
      precision,
    },
  });
  const strategy = createStrategy(config, { samples: config.train.batchSize });
  const trainer = new Trainer({ config, strategy, tokenizer, device }, readyLoader(batches));
  const steps = trainer.run();
  const step = async (): Promise<MetricsRow> => {
    const { value } = await steps.next();
    if (value?.kind !== 'step') throw new RangeError('The trainer made no step to measure.');
    return value.row;
  };
  return {
    async check() {
      const reports: MetricsRow[] = [];
      const times: number[] = [];
      for (let i = 0; i < checkedSteps; i++) {
        const start = performance.now();
        reports.push(await step());
        times.push((performance.now() - start) / 1000);
      }
      return {
        losses: reports.map(({ loss }) => loss),
        gradNorms: reports.map(({ gradNorm }) => gradNorm),
        seconds: Math.min(...times),
      };
    },
    // On a GPU the last step's numbers come before its work is done.
    run: (count) => timed(count, step, device),
  };
}

/** The image inference of `bantam embed` and `bantam eval`. */
function imageInference(
  { loaded, precision }: InferenceModel,
  batches: readonly ReadyBatch[],
): OpenWorkload {
  const encode = ({ pixels, captions, resolution }: ReadyBatch) =>
    encodePixels(
      loaded,
      { pixels, shape: [captions.length, resolution, resolution, 3] },
      { precision },
    );
  return inference(batches, (batch) => Promise.resolve(encode(batch)));
}

/** The text inference of `bantam embed` and `bantam eval`, tokenization included. */
function textInference(
  { loaded, precision }: InferenceModel,
  batches: readonly ReadyBatch[],
): OpenWorkload {
  return inference(batches, async ({ captions }) => {
    const options = { precision, batchSize: captions.length };
    using features = await encodeTexts(loaded, captions, options);
    return features.toTypedArray() as Float32Array;
  });
}

function inference(
  batches: readonly ReadyBatch[],
  encode: (batch: ReadyBatch) => Promise<Float32Array>,
): OpenWorkload {
  let next = 0;
  const step = () => encode(batchAt(batches, next++));
  return {
    async check() {
      await step();
      next = 0;
      const start = performance.now();
      const features = await step();
      return {
        features: Buffer.from(features.buffer, features.byteOffset, features.byteLength).toString(
          'base64',
        ),
        seconds: (performance.now() - start) / 1000,
      };
    },
    run: (count) => timed(count, step),
  };
}

async function timed(
  count: number,
  step: () => Promise<unknown>,
  device: Device = 'cpu',
): Promise<Ran> {
  const start = performance.now();
  for (let i = 0; i < count; i++) await step();
  await synchronize(device);
  return { seconds: (performance.now() - start) / 1000 };
}
