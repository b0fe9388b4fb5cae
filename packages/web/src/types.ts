/** An image of `width` × `height` pixels: RGB, uint8, rows from the top, channels innermost. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** An image that a search found. */
export interface SearchHit {
  readonly key: string;
  /** Cosine of the angle between query and image. */
  readonly score: number;
  /** Row of the image in the index. */
  readonly row: number;
}

/** Embedded images that can be searched. */
export interface SearchIndex {
  readonly keys: readonly string[];
  /** Dimensions of the vectors. */
  readonly width: number;
  readonly size: number;
  /** An image's vector; undefined if there is no such row. */
  row(row: number): Float32Array | undefined;
  /** The k images closest to a vector of length 1, best first; of equals the first in the index. */
  nearest(vector: Float32Array, k: number): SearchHit[];
}

/** How a model wants its images. */
export interface ImagePreprocess {
  /** Side length of the square input in pixels. */
  readonly size: number;
  readonly mean: readonly [number, number, number];
  readonly std: readonly [number, number, number];
  readonly interpolation: 'bicubic' | 'bilinear';
  readonly antialias: boolean;
  /** `shortest`: shortest side to `size`, then centre crop. `squash`: both sides to `size`. */
  readonly resizeMode: 'shortest' | 'squash';
}

/** How cosines become logits, and those probabilities: over all labels, or for each label alone. */
export interface Logits {
  readonly activation: 'softmax' | 'sigmoid';
  readonly scale: number;
  /** Added to the scaled cosine; null: nothing. */
  readonly bias: number | null;
}

/** Number formats of an exported model. */
export type ModelDtype = 'fp32' | 'fp16' | 'q8';

/** The runtime of a model. */
export type Backend = 'wasm' | 'webgpu';

export interface RuntimeOptions {
  /** `auto`, the default: WebGPU if the browser has it on a real GPU, else WebAssembly. */
  readonly backend?: Backend | 'auto';
  /**
   * Threads of WebAssembly. By default as many as the computer has cores, at most 8; one where the
   * page is not cross-origin isolated, as browsers then give threads no common memory.
   */
  readonly threads?: number;
  /**
   * Folder of ONNX Runtime's `.wasm` and `.mjs` files, for pages that serve copies of them; by
   * default they are beside the script that holds ONNX Runtime.
   */
  readonly wasmPaths?: string;
}

/** How a model runs. */
export interface RuntimeInfo {
  readonly backend: Backend;
  /** Threads of WebAssembly; 1 for WebGPU. */
  readonly threads: number;
  /** True if the page may use threads: it is served with COOP and COEP headers. */
  readonly isolated: boolean;
}
