import { BantamError } from '../../../base/errors.js';
import { isObject } from '../../../base/schema.js';
import { parseModelConfig, topEntries, type ModelConfig } from '../../config.js';
import type { OpenClipTower } from '../../tower.js';
import { imageTowerKind, imageTowerKinds, textTowerKind, textTowerKinds } from '../../towers.js';
import { decoderSchema, type DecoderConfig } from '../../towers/decoder/multimodal-decoder.js';
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
    ...writeMembers(decoder, decoderSchema.entries),
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
    entries: decoderSchema.entries,
    unsupported: {},
    missing,
  });
}

/** The `model_cfg` of an `open_clip_config.json`. */
export type OpenClipModelConfig = Readonly<Record<string, unknown>>;

/** Further members in OpenCLIP 3.3, with the values that Bantam computes. */
const unsupportedTop = {
  nonscalar_logit_scale: false,
};

/**
 * The `model_cfg` by which OpenCLIP builds the same model. Options at its defaults are left out. A
 * tower that OpenCLIP does not have is written under the name `bantam`, which OpenCLIP refuses.
 */
export function toOpenClip(config: ModelConfig): OpenClipModelConfig {
  const { vision, text, decoder, ...top } = config;
  const tower = (written: OpenClipTower | null) =>
    decoder !== null && written !== null ? { ...written, output_tokens: true } : written;
  return {
    ...writeMembers(top, topEntries),
    vision_cfg: tower(imageTowerKind(vision).toOpenClip(vision)) ?? { bantam: vision },
    text_cfg: tower(textTowerKind(text).toOpenClip(text)) ?? { bantam: text },
    ...(decoder !== null && { multimodal_cfg: writeDecoder(decoder, text) }),
  };
}

/**
 * Reads the `model_cfg` of an `open_clip_config.json` (OpenCLIP 3.3).
 *
 * @throws BantamError naming members that OpenCLIP does not know, or that ask for a part that
 * Bantam does not have.
 */
export function fromOpenClip(modelCfg: unknown): ModelConfig {
  const missing: string[] = [];
  const { vision_cfg, text_cfg, multimodal_cfg, ...rest } = asObject(modelCfg, 'model_cfg');
  const top = readMembers(rest, 'model_cfg', {
    entries: topEntries,
    unsupported: unsupportedTop,
    missing,
  });
  const vision = readTower(asObject(vision_cfg, 'vision_cfg'), imageTowerKinds, missing);
  const text = readTower(asObject(text_cfg, 'text_cfg'), textTowerKinds, missing);
  const decoder =
    multimodal_cfg == null
      ? null
      : readDecoder(asObject(multimodal_cfg, 'multimodal_cfg'), text ?? {}, missing);
  if (vision === null) missing.unshift(`vision_cfg ${JSON.stringify(vision_cfg)}`);
  if (text === null) missing.unshift(`text_cfg ${JSON.stringify(text_cfg)}`);
  if (missing.length > 0) {
    throw new BantamError(
      `Bantam has no models with ${missing.join(', ')}; "bantam models" lists the towers that it has.`,
    );
  }
  // As in OpenCLIP, whose class for such towers names them.
  const named = text?.type === 'bert' ? { customText: true } : {};
  return parseModelConfig({ ...top, ...named, vision, text, decoder });
}

function asObject(value: unknown, where: string): Record<string, unknown> {
  if (isObject(value)) return value;
  throw new BantamError(`"${where}" is missing or no object; take it from OpenCLIP's own file.`);
}

interface Reader {
  readonly type: string;
  fromOpenClip(tower: OpenClipTower, missing: string[]): Record<string, unknown> | null;
}

/** The configuration of the first kind that the description is of. */
function readTower(
  tower: OpenClipTower,
  kinds: readonly Reader[],
  missing: string[],
): Record<string, unknown> | null {
  if (isObject(tower.bantam)) return tower.bantam;
  for (const kind of kinds) {
    const members = kind.fromOpenClip(tower, missing);
    if (members !== null) return { type: kind.type, ...members };
  }
  return null;
}
