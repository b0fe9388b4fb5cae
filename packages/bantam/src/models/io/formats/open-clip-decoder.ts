import { decoderFields, type DecoderConfig } from '../../towers/decoder/decoder-config.js';
import type { OpenClipTower } from '../../tower.js';
import { readMembers, writeMembers } from '../../towers/open-clip-members.js';

/** Sizes of the text tower, which the decoder's are. */
interface TextSizes {
  readonly width?: unknown;
  readonly contextLength?: unknown;
  readonly vocabSize?: unknown;
}

/** Members of `multimodal_cfg` that OpenCLIP 3.3 knows and does not look at, but for a text tower's. */
const idle = [
  'vocab_size',
  'mlp_ratio',
  'dim_head',
  'n_queries',
  'attn_pooler_heads',
  'embed_cls',
  'output_tokens',
];

/** The `multimodal_cfg` of a decoder beside such a text tower. */
export function writeDecoder(
  decoder: DecoderConfig,
  { contextLength, vocabSize, width }: TextSizes,
): OpenClipTower {
  return {
    context_length: contextLength,
    vocab_size: vocabSize,
    width,
    ...writeMembers(decoder, decoderFields),
  };
}

/**
 * Members of a decoder from a `multimodal_cfg`.
 *
 * @throws BantamError for a member that OpenCLIP does not know.
 */
export function readDecoder(
  decoder: OpenClipTower,
  text: TextSizes,
  missing: string[],
): Record<string, unknown> {
  const { width = 512, context_length: context = 77, ...rest } = decoder;
  const { width: textWidth = 512, contextLength = 77 } = text;
  const ask = (key: string, value: unknown) =>
    missing.push(`multimodal_cfg.${key} ${String(value)}`);
  if (width !== textWidth) ask('width', width);
  if (Number(context) < Number(contextLength)) ask('context_length', context);
  const members = Object.entries(rest).filter(([key]) => !idle.includes(key));
  return readMembers(Object.fromEntries(members), 'multimodal_cfg', {
    fields: decoderFields,
    unsupported: {},
    missing,
  });
}
