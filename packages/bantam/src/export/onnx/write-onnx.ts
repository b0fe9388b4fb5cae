/**
 * Graphs as files of ONNX. The messages and the numbers of their fields are those of ONNX's
 * `onnx.proto3` (IR version 8); only fields that Bantam writes are here.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { elementTypeNumber } from './element-types.js';
import type { Attribute, Constant, Graph, GraphPort, Node } from './graph.js';

const IR_VERSION = 8;

/** The version of the standard operators. */
export const OPSET = 18;

/** Largest file that protobuf's readers take, with room for the nodes. */
const PROTOBUF_LIMIT = 2 ** 31 - 2 ** 24;

/** Constants below this stay in the model's own file, as runtimes read shapes from there. */
const SMALLEST_EXTERNAL = 1024;

/** Bytes of one write; Node.js takes no more than 2 GiB at a time. */
const LARGEST_WRITE = 2 ** 30;

/** Alignment of a constant in a file of its own, so that runtimes can map it. */
const ALIGNMENT = 4096;

/** Options of {@link writeOnnx}. */
export interface WriteOnnxOptions {
  /** Facts about the model, for its readers. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Bytes of constants above which they go to a file of their own. Default: protobuf's limit. */
  readonly externalAbove?: number;
}

/** A written model. */
export interface WrittenOnnx {
  /** Of all files. */
  readonly bytes: number;
  /** The constants are in a file of their own, `NAME.onnx_data`. */
  readonly external: boolean;
}

/** Location of a constant's bytes outside of the model's own file. */
interface External {
  readonly location: string;
  readonly offset: number;
}

/**
 * Writes a graph to a `.onnx` file, constant by constant, so that no copy of the weights is made. Constants
 * of more than protobuf can hold go to `FILE_data` beside it, as ONNX and transformers.js name it.
 */
export async function writeOnnx(
  file: string,
  graph: Graph,
  { metadata = {}, externalAbove = PROTOBUF_LIMIT }: WriteOnnxOptions = {},
): Promise<WrittenOnnx> {
  const total = [...graph.constants.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  const dataFile = `${file}_data`;
  const external =
    total > externalAbove ? await writeExternal(dataFile, graph) : new Map<string, External>();
  const externalBytes = external.size === 0 ? 0 : total;
  const chunks = modelChunks(graph, metadata, external);
  const handle = await open(file, 'w');
  try {
    let written = 0;
    for (const chunk of chunks) written += await writeAll(handle, chunk);
    return { bytes: written + externalBytes, external: external.size > 0 };
  } finally {
    await handle.close();
  }
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    const length = Math.min(bytes.length - done, LARGEST_WRITE);
    const { bytesWritten } = await handle.write(bytes, done, length);
    done += bytesWritten;
  }
  return done;
}

async function writeExternal(file: string, graph: Graph): Promise<Map<string, External>> {
  const locations = new Map<string, External>();
  const handle = await open(file, 'w');
  try {
    let offset = 0;
    for (const [name, { bytes }] of graph.constants) {
      if (bytes.length < SMALLEST_EXTERNAL) continue;
      locations.set(name, { location: basename(file), offset });
      const rest = (ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT;
      offset += await writeAll(handle, bytes);
      offset += await writeAll(handle, new Uint8Array(rest));
    }
  } finally {
    await handle.close();
  }
  return locations;
}

/** The model's bytes: `ModelProto`. */
function modelChunks(
  graph: Graph,
  metadata: Readonly<Record<string, string>>,
  external: ReadonlyMap<string, External>,
): Uint8Array[] {
  const head = new BinaryWriter();
  head.tag(1, WireType.Varint).int64(IR_VERSION);
  head.tag(2, WireType.LengthDelimited).string('bantam');
  head.tag(8, WireType.LengthDelimited).fork();
  head.tag(2, WireType.Varint).int64(OPSET).join();
  for (const [key, value] of Object.entries(metadata)) {
    head.tag(14, WireType.LengthDelimited).fork();
    head.tag(1, WireType.LengthDelimited).string(key);
    head.tag(2, WireType.LengthDelimited).string(value).join();
  }
  const body = graphChunks(graph, external);
  head.tag(7, WireType.LengthDelimited).uint32(lengthOf(body));
  return [head.finish(), ...body];
}

function lengthOf(chunks: readonly Uint8Array[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0);
}

/** `GraphProto` */
function graphChunks(graph: Graph, external: ReadonlyMap<string, External>): Uint8Array[] {
  const writer = new BinaryWriter();
  for (const node of graph.nodes) {
    writer.tag(1, WireType.LengthDelimited).fork();
    writeNode(writer, node);
    writer.join();
  }
  writer.tag(2, WireType.LengthDelimited).string('bantam');
  const ports: [number, readonly GraphPort[]][] = [
    [11, graph.inputs],
    [12, graph.outputs],
  ];
  for (const [field, list] of ports) {
    for (const port of list) {
      writer.tag(field, WireType.LengthDelimited).fork();
      writePort(writer, port);
      writer.join();
    }
  }
  const constants = [...graph.constants].flatMap(([name, constant]) =>
    constantChunks(name, constant, external.get(name)),
  );
  return [writer.finish(), ...constants];
}

/** `NodeProto` */
function writeNode(writer: BinaryWriter, { op, inputs, outputs, attributes }: Node): void {
  for (const name of inputs) writer.tag(1, WireType.LengthDelimited).string(name);
  for (const name of outputs) writer.tag(2, WireType.LengthDelimited).string(name);
  const [first = op] = outputs;
  writer.tag(3, WireType.LengthDelimited).string(`node_${first}`);
  writer.tag(4, WireType.LengthDelimited).string(op);
  for (const [name, value] of Object.entries(attributes)) {
    writer.tag(5, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(name);
    writeAttribute(writer, value);
    writer.join();
  }
}

/** The value of an `AttributeProto` and its type, which field 20 names. */
function writeAttribute(writer: BinaryWriter, value: Attribute): void {
  const type = (number: number) => writer.tag(20, WireType.Varint).int32(number);
  if (typeof value === 'number') {
    writer.tag(3, WireType.Varint).int64(value);
    type(2);
  } else if (typeof value === 'string') {
    writer.tag(4, WireType.LengthDelimited).string(value);
    type(3);
  } else if ('float' in value) {
    writer.tag(2, WireType.Bit32).float(value.float);
    type(1);
  } else {
    for (const item of value) writer.tag(8, WireType.Varint).int64(item);
    type(7);
  }
}

/** `ValueInfoProto` of a tensor */
function writePort(writer: BinaryWriter, { name, type, shape }: GraphPort): void {
  writer.tag(1, WireType.LengthDelimited).string(name);
  writer.tag(2, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.LengthDelimited).fork();
  writer.tag(1, WireType.Varint).int32(elementTypeNumber(type));
  writer.tag(2, WireType.LengthDelimited).fork();
  for (const length of shape) {
    writer.tag(1, WireType.LengthDelimited).fork();
    if (typeof length === 'number') writer.tag(1, WireType.Varint).int64(length);
    else writer.tag(2, WireType.LengthDelimited).string(length);
    writer.join();
  }
  writer.join().join().join();
}

/** `TensorProto`, with its tag and length as a member of a graph. */
function constantChunks(
  name: string,
  { type, shape, bytes }: Constant,
  external: External | undefined,
): Uint8Array[] {
  const tensor = new BinaryWriter();
  for (const length of shape) tensor.tag(1, WireType.Varint).int64(length);
  tensor.tag(2, WireType.Varint).int32(elementTypeNumber(type));
  tensor.tag(8, WireType.LengthDelimited).string(name);
  if (external === undefined) tensor.tag(9, WireType.LengthDelimited).uint32(bytes.length);
  else {
    const { location, offset } = external;
    for (const [key, value] of Object.entries({ location, offset, length: bytes.length })) {
      tensor.tag(13, WireType.LengthDelimited).fork();
      tensor.tag(1, WireType.LengthDelimited).string(key);
      tensor.tag(2, WireType.LengthDelimited).string(String(value)).join();
    }
    tensor.tag(14, WireType.Varint).int32(1);
  }
  const head = tensor.finish();
  const content = external === undefined ? [head, bytes] : [head];
  const tag = new BinaryWriter();
  tag.tag(5, WireType.LengthDelimited).uint32(lengthOf(content));
  return [tag.finish(), ...content];
}
