/** Bundles the library and the page: `node bundle.js`, after `tsc -b`. */
import { copyFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const folder = fileURLToPath(new URL('.', import.meta.url));

const common = {
  absWorkingDir: folder,
  bundle: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  sourcemap: true,
  legalComments: 'linked',
  logLevel: 'warning',
};

rmSync(new URL('build', import.meta.url), { recursive: true, force: true });

// Users' bundlers find ONNX Runtime and its files themselves.
await build({
  ...common,
  entryPoints: { index: 'dist/index.js' },
  outdir: 'build/library',
  external: ['onnxruntime-web/*'],
});

// The page loads ONNX Runtime's WebAssembly from files beside it, never from within a bundle.
await build({
  ...common,
  entryPoints: { page: 'dist/page/main.js', worker: 'dist/page/worker.js' },
  outdir: 'build/page',
  minify: true,
  splitting: true,
  sourcemap: false,
  chunkNames: 'chunk-[hash]',
  conditions: ['onnxruntime-web-use-extern-wasm'],
});
for (const file of ['index.html', 'page.css']) {
  copyFileSync(
    new URL(`src/page/${file}`, import.meta.url),
    new URL(`build/page/${file}`, import.meta.url),
  );
}
