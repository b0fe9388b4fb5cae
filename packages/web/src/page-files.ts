/** `@bantam/web/page`: the files of which `bantam export --to web` makes a page. */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

export { pageHeaders } from './headers.js';

const require = createRequire(import.meta.url);

/** Folder of the page itself: HTML, CSS, scripts. */
export const pageFolder: string = fileURLToPath(new URL('../build/page', import.meta.url));

/** ONNX Runtime's WebAssembly: for the CPU with threads, and for WebGPU. */
export const runtimeFiles: readonly string[] = ['', '.asyncify'].flatMap((kind) =>
  ['.mjs', '.wasm'].map((ending) =>
    require.resolve(`onnxruntime-web/ort-wasm-simd-threaded${kind}${ending}`),
  ),
);
