import type * as Ort from 'onnxruntime-web/wasm';
import type { RuntimeInfo, RuntimeOptions } from './types.js';

type Runtime = typeof Ort;

/** ONNX Runtime, ready to make sessions. */
export interface OpenRuntime extends RuntimeInfo {
  readonly ort: Runtime;
  /** True if the GPU computes in fp16. */
  readonly half: boolean;
}

const mostThreads = 8;

/** A GPU of the browser. */
interface Gpu {
  readonly half: boolean;
  /** It is computed by the CPU, and slower than WebAssembly. */
  readonly software: boolean;
}

/** The browser's adapter for WebGPU; undefined if there is none. */
async function findGpu(): Promise<Gpu | undefined> {
  // Not there in every browser, nor in pages without a secure context, whatever the types say.
  if (!('gpu' in navigator)) return undefined;
  const adapter = await navigator.gpu.requestAdapter().catch(() => null);
  if (adapter === null) return undefined;
  const { features, info } = adapter;
  const software = info.isFallbackAdapter || /swiftshader|llvmpipe/i.test(info.architecture);
  return { half: features.has('shader-f16'), software };
}

/** Loads ONNX Runtime for the best backend of the browser, or for the one that is asked for. */
export async function openRuntime({
  backend = 'auto',
  threads,
  wasmPaths,
}: RuntimeOptions = {}): Promise<OpenRuntime> {
  const gpu = backend === 'wasm' ? undefined : await findGpu();
  const automatic = gpu === undefined || gpu.software ? 'wasm' : 'webgpu';
  const chosen = backend === 'auto' ? automatic : backend;
  const ort: Runtime =
    chosen === 'webgpu'
      ? await import('onnxruntime-web/webgpu')
      : await import('onnxruntime-web/wasm');
  const isolated = globalThis.crossOriginIsolated;
  const wanted = threads ?? Math.min(mostThreads, navigator.hardwareConcurrency);
  const used = isolated && chosen === 'wasm' ? Math.max(1, wanted) : 1;
  ort.env.wasm.numThreads = used;
  if (wasmPaths !== undefined) ort.env.wasm.wasmPaths = wasmPaths;
  return {
    ort,
    backend: chosen,
    threads: used,
    isolated,
    half: gpu?.half === true,
  };
}
