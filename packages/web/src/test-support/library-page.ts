import type * as Library from '../index.js';

/** HTML of a page that has the library as a global of the window. */
export const libraryHtml = `<!doctype html>
<script type="importmap">
  {
    "imports": {
      "@bantam/web": "/library/index.js",
      "onnxruntime-web/wasm": "/ort/ort.wasm.min.mjs",
      "onnxruntime-web/webgpu": "/ort/ort.webgpu.min.mjs"
    }
  }
</script>
<script type="module">
  globalThis.state = {};
  globalThis.bantam = await import('@bantam/web');
</script>
`;

/** Functions of the page's window, which tests run there. */
export interface LibraryWindow {
  readonly bantam: typeof Library;
  /** Kept from one function to the next. */
  readonly state: { clip?: Library.WebClip };
}
