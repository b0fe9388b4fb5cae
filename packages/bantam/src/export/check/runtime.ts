import { BantamError } from '../../base/errors.js';

/** A tensor of a graph's input or output. */
export interface RuntimeTensor {
  readonly type: string;
  readonly data: unknown;
  readonly dims: readonly number[];
}

/** A graph that runs. */
export interface RuntimeSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(
    inputs: Readonly<Record<string, RuntimeTensor>>,
  ): Promise<Readonly<Record<string, RuntimeTensor>>>;
  release(): Promise<void>;
}

/** ONNX Runtime for Node. */
export interface OnnxRuntime {
  open(file: string): Promise<RuntimeSession>;
  floats(values: Float32Array, shape: readonly number[]): RuntimeTensor;
  integers(values: BigInt64Array, shape: readonly number[]): RuntimeTensor;
}

/** The parts of `onnxruntime-node` in use; its own types would bind those who have it not. */
export interface RuntimeModule {
  readonly InferenceSession: {
    create(file: string, options: { readonly logSeverityLevel: 3 }): Promise<RuntimeSession>;
  };
  readonly Tensor: new (
    type: 'float32' | 'int64',
    data: Float32Array | BigInt64Array,
    shape: readonly number[],
  ) => RuntimeTensor;
}

/** The command that installs the runtime; its own install script would fetch CUDA's libraries. */
const INSTALL = 'ONNXRUNTIME_NODE_INSTALL=skip npm install onnxruntime-node';

/**
 * Loads `onnxruntime-node`, which Bantam does not install.
 *
 * @throws BantamError with the command that installs it.
 */
export async function loadOnnxRuntime(
  load: () => Promise<RuntimeModule> = () => import('onnxruntime-node'),
): Promise<OnnxRuntime> {
  const { InferenceSession, Tensor } = await load().catch((error: unknown) => {
    throw new BantamError(
      `The check of exported graphs needs onnxruntime-node (${reason(error)}); install it with "${INSTALL}", or export with --no-check.`,
    );
  });
  return {
    open: (file) => InferenceSession.create(file, { logSeverityLevel: 3 }),
    floats: (values, shape) => new Tensor('float32', values, shape),
    integers: (values, shape) => new Tensor('int64', values, shape),
  };
}

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  const end = message.indexOf('\n');
  if (code === 'ERR_MODULE_NOT_FOUND') return 'it is not installed';
  return end < 0 ? message : message.slice(0, end);
}
