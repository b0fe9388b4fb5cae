import { createRequire } from 'node:module';
import { addonFailure } from './addon-failure.js';
import { TorchError } from './errors.js';
import { LIBTORCH_VERSION } from '../install/libtorch-version.js';

declare const tensorBrand: unique symbol;
declare const generatorBrand: unique symbol;
declare const programBrand: unique symbol;

/** A tensor as the addon knows it. */
export interface TensorHandle {
  readonly [tensorBrand]: true;
}

/** A random generator as the addon knows it. */
export interface GeneratorHandle {
  readonly [generatorBrand]: true;
}

/** A recorded computation as the addon knows it. */
export interface ProgramHandle {
  readonly [programBrand]: true;
}

/** Argument of an operator: `undefined` stands for the schema's default, `null` for none. */
export type NativeArgument =
  | TensorHandle
  | GeneratorHandle
  | number
  | bigint
  | boolean
  | string
  | null
  | undefined
  | readonly NativeArgument[];

/** Result of an operator. */
export type NativeResult =
  TensorHandle | number | boolean | string | null | undefined | NativeResult[];

/** The addon's functions; `native/*.cc` says what each does. */
export interface Native {
  resolve(name: string, overload: string): number;
  call(operator: number, args: readonly NativeArgument[]): NativeResult;
  callInPlace(operator: number, args: readonly NativeArgument[]): void;
  schema(operator: number): string;

  dispose(tensor: TensorHandle): void;
  shape(tensor: TensorHandle): number[];
  dtype(tensor: TensorHandle): number;
  device(tensor: TensorHandle): string;
  isContiguous(tensor: TensorHandle): boolean;

  backward(
    outputs: readonly TensorHandle[],
    gradients: readonly (TensorHandle | null)[],
    retainGraph: boolean,
  ): void;
  grad(
    outputs: readonly TensorHandle[],
    inputs: readonly TensorHandle[],
    gradients: readonly (TensorHandle | null)[],
    retainGraph: boolean,
    createGraph: boolean,
  ): (TensorHandle | null)[];
  getGrad(tensor: TensorHandle): TensorHandle | null;
  setGrad(tensor: TensorHandle, gradient: TensorHandle | null): void;
  requiresGrad(tensor: TensorHandle): boolean;
  setRequiresGrad(tensor: TensorHandle, requiresGrad: boolean): void;
  onGradients(leaves: readonly TensorHandle[], then: ((index: number) => void) | null): void;
  isLeaf(tensor: TensorHandle): boolean;
  setGradMode(enabled: boolean): boolean;
  setAutocast(device: string, dtype: number | null): number | null;

  beginCheckpoint(
    inputs: readonly TensorHandle[],
    again: (inputs: readonly TensorHandle[]) => void,
  ): void;
  endCheckpoint(): void;

  beginProgram(inputs: readonly TensorHandle[]): void;
  endProgram(outputs: readonly TensorHandle[] | null): ProgramHandle | null;
  runProgram(program: ProgramHandle, inputs: readonly TensorHandle[]): TensorHandle[];
  disposeProgram(program: ProgramHandle): void;

  createGenerator(device: string, seed: bigint): GeneratorHandle;
  generatorState(generator: GeneratorHandle): TensorHandle;
  setGeneratorState(generator: GeneratorHandle, state: TensorHandle): void;

  fromTypedArray(
    array: ArrayBufferView,
    shape: readonly number[],
    dtype: number,
    copy: boolean,
    device: string,
  ): TensorHandle;
  copyToBuffer(tensor: TensorHandle): ArrayBuffer;

  memoryStats(): {
    liveTensors: number;
    liveBytes: number;
    peakBytes: number;
    cachedBytes: number;
    metaBytes: number;
  };
  resetPeakBytes(): void;
  emptyCache(): void;
  startTrace(): void;
  stopTrace(): Float64Array;
  footprint(trace: Float64Array): number;

  startCounting(): void;
  stopCounting(): number;

  version(): string;
  buildConfig(): string;
  cpuCapability(): string;
  instructionLevel(): string;
  instructionLimitError(): string;
  getThreads(): number;
  setThreads(threads: number): void;

  nvidiaDriver(): {
    version: number;
    error: number;
    devices: { name: string; capability: string; bytes: number }[];
  } | null;
  loadCuda(): number | string;
  loadDevice(type: string): string | null;
  deviceCount(type: string): number;
  deviceMemory(device: string): {
    free: number;
    total: number;
    allocated: number;
    peak: number;
    reserved: number;
  };
  resetDevicePeak(device: string): void;
  emptyDeviceCache(device: string): void;
  afterDevice(device: string): Promise<void>;
  readLater(tensor: TensorHandle): Promise<ArrayBuffer>;

  hasGloo(): boolean;
  openTcpStore(
    group: string,
    host: string,
    port: number,
    isServer: boolean,
    timeout: number,
  ): Promise<void>;
  openFileStore(group: string, path: string, processes: number, timeout: number): Promise<void>;
  storeSet(group: string, key: string, value: string): Promise<void>;
  storeWait(group: string, keys: readonly string[], timeout: number): Promise<(string | null)[]>;
  abandonTasks(): void;
  watchGroup(
    group: string,
    prefix: string,
    rank: number,
    processes: number,
    patience: number,
  ): void;
  lostRanks(group: string, patience: number): readonly number[] | null;
  joinGroup(group: string, prefix: string, rank: number, processes: number): Promise<void>;
  leaveGroup(group: string): Promise<void>;
  dropConnections(group: string): void;
  connections(): readonly number[];
  limitSilence(connections: readonly number[], milliseconds: number): void;
  allReduce(
    group: string,
    tensors: readonly TensorHandle[],
    op: 'sum' | 'max' | 'min',
  ): Promise<void>;
  allGather(group: string, tensors: readonly TensorHandle[]): Promise<TensorHandle[]>;
  broadcast(group: string, tensors: readonly TensorHandle[], root: number): Promise<void>;

  /** Of a checkout alone. */
  emulatedCounters(reset: boolean): {
    operators: number;
    copiesIn: number;
    copiesOut: number;
    synchronizations: number;
  };
  setEmulatedLatency(milliseconds: number): void;
}

/**
 * Rounds for which a thread of libgomp waits for work before it sleeps, about 0.1 ms: more than the
 * time between two operators. Its own 300,000 take the cores from data workers and other programs.
 */
const spins = 10_000;

/** Loads libgomp, which reads its settings then and only then; what the user has set stays. */
function withShortSpins<T>(load: () => T): T {
  const { env } = process;
  if (env.GOMP_SPINCOUNT !== undefined || env.OMP_WAIT_POLICY !== undefined) return load();
  env.GOMP_SPINCOUNT = String(spins);
  try {
    return load();
  } finally {
    // Not for child processes.
    delete env.GOMP_SPINCOUNT;
  }
}

function load(): Native {
  const require = createRequire(import.meta.url);
  let addon: Native;
  try {
    addon = withShortSpins(() => require('../build/bantam_torch.node') as Native);
  } catch (error) {
    throw addonFailure(error);
  }
  const version = addon.version().split('+')[0];
  if (version !== LIBTORCH_VERSION) {
    throw new TorchError(
      `@bantam/torch needs libtorch ${LIBTORCH_VERSION} but was built against ${String(version)}; run "npx bantam setup", with BANTAM_LIBTORCH unset or pointing to ${LIBTORCH_VERSION}.`,
    );
  }
  const limitError = addon.instructionLimitError();
  if (limitError !== '') throw new TorchError(limitError);
  return addon;
}

/** The loaded addon. */
export const native: Native = load();
