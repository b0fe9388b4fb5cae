/** ONNX Runtime's worker: answers the requests of `protocol.ts` on graphs of `export_onnx.py`. */
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { onnxGraph, onnxInputs } from './onnx-files.js';
import { peakMemory, resetPeakMemory } from './peak-memory.js';
import type { Checked, ModelWorkload, Ran, Request } from './protocol.js';
import { answerRequests } from './worker-loop.js';

/** Threads of one operator, as {@link WorkerOptions} gives them to all workers. */
const threads = Number(process.env.OMP_NUM_THREADS ?? 0);

/** A graph with inputs that are ready before the clock starts. */
class OnnxInference {
  #next = 0;

  private constructor(
    private readonly session: InferenceSession,
    private readonly inputs: readonly Tensor[],
  ) {}

  static async open({ kind, precision, folder }: ModelWorkload): Promise<OnnxInference> {
    if (kind === 'train') throw new RangeError('ONNX Runtime trains nothing here.');
    const path = join(folder, 'onnx', onnxGraph(kind, precision));
    const session = await InferenceSession.create(path, {
      // 0 takes the machine's cores.
      intraOpNumThreads: threads,
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
    });
    const inputs = (await onnxInputs(folder, kind)).map(
      ({ data, shape }) => new Tensor(data, [...shape]),
    );
    return new OnnxInference(session, inputs);
  }

  async step(): Promise<Float32Array> {
    const input = this.inputs[this.#next++ % this.inputs.length];
    if (input === undefined) throw new RangeError('There are no batches.');
    const { features } = await this.session.run({ input });
    return features?.data as Float32Array;
  }

  async check(): Promise<Checked> {
    await this.step();
    this.#next = 0;
    const start = performance.now();
    const { buffer, byteOffset, byteLength } = await this.step();
    return {
      features: Buffer.from(buffer, byteOffset, byteLength).toString('base64'),
      seconds: (performance.now() - start) / 1000,
    };
  }

  async run(steps: number): Promise<Ran> {
    const start = performance.now();
    for (let i = 0; i < steps; i++) await this.step();
    return { seconds: (performance.now() - start) / 1000 };
  }
}

let workload: OnnxInference | undefined;

function opened(): OnnxInference {
  if (workload === undefined) throw new RangeError('No workload is open.');
  return workload;
}

async function answer(request: Request): Promise<object> {
  switch (request.op) {
    case 'open':
      if (request.workload.kind === 'load') throw new RangeError('ONNX Runtime loads no images.');
      workload = await OnnxInference.open(request.workload);
      resetPeakMemory();
      return {};
    case 'check':
      return opened().check();
    case 'run':
      return opened().run(request.steps);
    case 'memory':
      return { peakBytes: peakMemory() };
    default:
      throw new RangeError(`ONNX Runtime's worker has no answer to "${request.op}".`);
  }
}

await answerRequests(answer);
