/** Input of ONNX Runtime's worker: graphs by name, and batches. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { at } from '@bantam/torch/at';
import type { ModelWorkload, WorkloadPrecision } from './protocol.js';

/** The file of a graph that `export_onnx.py` writes. */
export function onnxGraph(kind: ModelWorkload['kind'], precision: WorkloadPrecision): string {
  return `${kind}-${precision}.onnx`;
}

/** An input of a graph. */
export interface OnnxInput {
  readonly data: Float32Array | BigInt64Array;
  readonly shape: readonly number[];
}

interface StoredTensor {
  readonly shape: readonly number[];
  readonly bytes: Buffer;
}

/** The tensors of a safetensors file, without libtorch, which this worker is to do without. */
function readTensors(file: Buffer): ReadonlyMap<string, StoredTensor> {
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start)) as Record<
    string,
    { shape?: number[]; data_offsets?: [number, number] }
  >;
  return new Map(
    Object.entries(header).flatMap(([name, { shape, data_offsets: range }]) =>
      shape === undefined || range === undefined
        ? []
        : [[name, { shape, bytes: file.subarray(start + range[0], start + range[1]) }]],
    ),
  );
}

/** Batches that `prepare` wrote into a folder, ready for a tower's graph. */
export async function onnxInputs(
  folder: string,
  kind: ModelWorkload['kind'],
): Promise<OnnxInput[]> {
  const tensors = readTensors(await readFile(join(folder, 'batches.safetensors')));
  const name = kind === 'text' ? 'ids' : 'pixels';
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new RangeError(`${folder} has no ${name}.`);
  const [count = 0, ...shape] = tensor.shape;
  const size = tensor.bytes.length / count;
  const batches = Array.from({ length: count }, (_, i) =>
    tensor.bytes.subarray(i * size, (i + 1) * size),
  );
  if (kind === 'text') {
    const length = JSON.parse(
      await readFile(join(folder, 'onnx', 'tokens.json'), 'utf8'),
    ) as number;
    return batches.map((bytes) => tokenInput(bytes, shape, length));
  }
  const normalization = await readNormalization(folder);
  return batches.map((bytes) => pixelInput(bytes, shape, normalization));
}

/** Token ids of the first `length` positions: what follows them is padding in every row. */
function tokenInput(bytes: Buffer, shape: readonly number[], length: number): OnnxInput {
  const [rows = 0, context = 0] = shape;
  const ids = new BigInt64Array(Uint8Array.from(bytes).buffer);
  const kept = new BigInt64Array(rows * length);
  for (let row = 0; row < rows; row++) {
    kept.set(ids.subarray(row * context, row * context + length), row * length);
  }
  return { data: kept, shape: [rows, length] };
}

interface Normalization {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

async function readNormalization(folder: string): Promise<Normalization> {
  const text = await readFile(join(folder, 'model', 'open_clip_config.json'), 'utf8');
  return (JSON.parse(text) as { preprocess_cfg: Normalization }).preprocess_cfg;
}

/** uint8 [B, H, W, 3] → normalised [B, 3, H, W] */
function pixelInput(
  bytes: Buffer,
  shape: readonly number[],
  { mean, std }: Normalization,
): OnnxInput {
  const [rows = 0, height = 0, width = 0] = shape;
  const size = height * width;
  const data = new Float32Array(rows * 3 * size);
  for (let row = 0; row < rows; row++) {
    for (let channel = 0; channel < 3; channel++) {
      const [centre, scale] = [at(mean, channel), at(std, channel)];
      for (let i = 0; i < size; i++) {
        const value = at(bytes, (row * size + i) * 3 + channel);
        data[(row * 3 + channel) * size + i] = (value / 255 - centre) / scale;
      }
    }
  }
  return { data, shape: [rows, 3, height, width] };
}
