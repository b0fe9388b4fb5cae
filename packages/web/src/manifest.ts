import { BantamError } from 'bantam/portable';
import * as v from 'valibot';
import type { Backend, ModelDtype } from './types.js';

const triple = v.pipe(v.tuple([v.number(), v.number(), v.number()]), v.readonly());

const files = v.object({ image: v.string(), text: v.string(), externalData: v.boolean() });

/** The members of an exported model's `bantam.json` that a browser needs; docs/export.md has them all. */
const manifestSchema = v.object({
  format: v.literal('bantam-onnx'),
  version: v.number(),
  description: v.string(),
  embedDim: v.number(),
  preprocess: v.object({
    size: v.number(),
    mean: triple,
    std: triple,
    interpolation: v.picklist(['bicubic', 'bilinear']),
    antialias: v.boolean(),
    resizeMode: v.picklist(['shortest', 'squash']),
  }),
  tokenizer: v.object({
    clean: v.picklist(['none', 'whitespace', 'lower', 'canonicalize']),
    contextLength: v.number(),
    padId: v.number(),
  }),
  logits: v.object({
    activation: v.picklist(['softmax', 'sigmoid']),
    scale: v.number(),
    bias: v.nullable(v.number()),
  }),
  precisions: v.object({
    fp32: v.optional(files),
    fp16: v.optional(files),
    q8: v.optional(files),
  }),
});

export type Manifest = v.InferOutput<typeof manifestSchema>;

/** The graphs of one number format. */
export type GraphFiles = v.InferOutput<typeof files>;

/** The newest version of the format that is read here. */
const version = 1;

/**
 * Checks a `bantam.json`.
 *
 * @throws BantamError if it is of something else, or of a newer version.
 */
export function parseManifest(document: unknown, url: string): Manifest {
  const parsed = v.safeParse(manifestSchema, document);
  if (!parsed.success) {
    const [issue] = parsed.issues;
    throw new BantamError(
      `${url} is not of an exported model (${v.getDotPath(issue) ?? 'its content'}: ${issue.message}); make it with "bantam export".`,
    );
  }
  if (parsed.output.version <= version) return parsed.output;
  throw new BantamError(
    `${url} has the format version ${parsed.output.version}, which is newer than this program; update @bantam/web.`,
  );
}

/**
 * The number format for a backend, of those that there are: on a GPU fp16 if it has it, else fp32; in
 * WebAssembly q8, the smallest download; else any.
 */
export function chooseDtype(
  { precisions }: Manifest,
  { backend, half }: { readonly backend: Backend; readonly half: boolean },
): ModelDtype {
  const gpu: ModelDtype[] = half ? ['fp16', 'fp32', 'q8'] : ['fp32', 'q8', 'fp16'];
  const order: ModelDtype[] = backend === 'webgpu' ? gpu : ['q8', 'fp32', 'fp16'];
  const found = order.find((dtype) => precisions[dtype] !== undefined);
  if (found !== undefined) return found;
  throw new BantamError('The model has no graphs; export it again.');
}

/**
 * The graphs of a number format.
 *
 * @throws BantamError naming those that there are.
 */
export function graphFiles({ precisions }: Manifest, dtype: ModelDtype): GraphFiles {
  const found = precisions[dtype];
  if (found !== undefined) return found;
  throw new BantamError(
    `The model is not exported in ${dtype}; it is there in ${Object.keys(precisions).join(', ')}.`,
  );
}
