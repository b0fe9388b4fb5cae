import type { DownloadProgress } from '../fetch-files.js';
import type { ModelDtype, RuntimeInfo } from '../types.js';
import type { LabelScore } from '../zero-shot.js';

/** `page.json`: what the page shows and where its files are, relative to itself. */
export interface PageConfig {
  readonly title: string;
  /** Folder of the exported model, with a slash at its end. */
  readonly model: string;
  /** Folder of ONNX Runtime's files. */
  readonly runtime: string;
  /** Embedded images and their descriptions, if there are any. */
  readonly index: { readonly embeddings: string; readonly items: string } | null;
  /** Labels to begin with. */
  readonly labels: readonly string[];
  /** Prompts with `{}` for labels. */
  readonly templates: readonly string[];
  /** Licences of the index's images. */
  readonly licences: readonly {
    readonly part: string;
    readonly licence: string;
    readonly attribution: string;
  }[];
}

/** An image of the index, as the page shows it. */
export interface IndexItem {
  readonly key: string;
  readonly caption: string;
  /** URL relative to the page; null where there is no image to show. */
  readonly image: string | null;
}

/** How the model runs. */
export interface Opened extends RuntimeInfo {
  readonly dtype: ModelDtype;
  /** Images in the index. */
  readonly size: number;
}

/** A search by text, by an image, or by both with the same weight. */
export interface Query {
  readonly text?: string;
  /** Number of an image: a row of the index, then those that were added. */
  readonly like?: number;
  readonly k: number;
}

/** An image that a search found. */
export interface Found {
  readonly image: number;
  readonly score: number;
}

/** Functions of the worker that holds the model. */
export interface Calls {
  open(options: { config: PageConfig; base: string }): Promise<Opened>;
  search(query: Query): Promise<Found[]>;
  /** Embeds an image, adds it to those that are searched, and returns its number. */
  add(image: Blob): Promise<number>;
  classify(options: { image: number; labels: readonly string[] }): Promise<LabelScore[]>;
}

export type CallName = keyof Calls;
export type Argument<N extends CallName> = Parameters<Calls[N]>[0];
export type Answer<N extends CallName> = Awaited<ReturnType<Calls[N]>>;
export type Handlers = { readonly [N in CallName]: (argument: Argument<N>) => Promise<Answer<N>> };

/** A message to the worker. */
export interface Request<N extends CallName = CallName> {
  readonly id: number;
  readonly name: N;
  readonly argument: Argument<N>;
}

/** A message from the worker. */
export type Reply =
  | { readonly id: number; readonly answer: unknown }
  | { readonly id: number; readonly error: string }
  | { readonly download: DownloadProgress };
