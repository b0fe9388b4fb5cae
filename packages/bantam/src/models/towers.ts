/** Every kind of tower. A new one is a file in `towers/` and a line in one of the two lists. */
import * as v from 'valibot';
import { didYouMean } from '../base/did-you-mean.js';
import { BantamError } from '../base/errors.js';
import { preprocessFor, type Preprocess } from './preprocess.js';
import type { ConfigOf, ImageTowerKind, TextTowerKind } from './tower.js';
import { convNext } from './towers/image/convnext.js';
import { eva } from './towers/image/eva.js';
import { mixer } from './towers/image/mixer.js';
import { mobileClip } from './towers/image/mobileclip.js';
import { modifiedResNet } from './towers/image/modified-resnet.js';
import { resNet } from './towers/image/resnet.js';
import { siglipVit } from './towers/image/siglip-vit.js';
import { swin } from './towers/image/swin.js';
import { timmVit } from './towers/image/timm-vit.js';
import { vit } from './towers/image/vit.js';
import { bertText } from './towers/text/bert.js';
import { mobileClipText } from './towers/text/mobileclip-text.js';
import { textTransformer } from './towers/text/text-transformer.js';

/** The kinds of image towers; the first is the default. */
const imageTowers = [
  vit,
  modifiedResNet,
  resNet,
  convNext,
  siglipVit,
  swin,
  mixer,
  mobileClip,
  timmVit,
  eva,
] as const;

/** The kinds of text towers; the first is the default. */
const textTowers = [textTransformer, mobileClipText, bertText] as const;

type ImageSchema = (typeof imageTowers)[number]['schema'];
type TextSchema = (typeof textTowers)[number]['schema'];

/** The configuration of an image tower, by its `type`. */
export type VisionConfig = ConfigOf<ImageSchema>;

/** The configuration of a text tower, by its `type`. */
export type TextConfig = ConfigOf<TextSchema>;

/** Settings of an image tower, by its `type`. */
export const visionSchema = v.variant(
  'type',
  imageTowers.map(({ schema }) => schema),
);

/** Settings of a text tower, by its `type`. */
export const textSchema = v.variant(
  'type',
  textTowers.map(({ schema }) => schema),
);

/** The kinds of image towers. */
export const imageTowerKinds: readonly ImageTowerKind<ImageSchema>[] = imageTowers;

/** The kinds of text towers. */
export const textTowerKinds: readonly TextTowerKind<TextSchema>[] = textTowers;

/** @throws BantamError naming the nearest kind of image tower. */
export function imageTowerKind(config: { type?: unknown }): ImageTowerKind<ImageSchema> {
  return byType(imageTowerKinds, config.type, 'vision');
}

/** @throws BantamError naming the nearest kind of text tower. */
export function textTowerKind(config: { type?: unknown }): TextTowerKind<TextSchema> {
  return byType(textTowerKinds, config.type, 'text');
}

/** `ViT 256 × 6, patch 16, 64 px; text 192 × 4`, and `; decoder × 3` if there is one. */
export function describeModel({
  vision,
  text,
  decoder,
}: {
  vision: VisionConfig;
  text: TextConfig;
  decoder: { layers: number } | null;
}): string {
  const towers = `${imageTowerKind(vision).describe(vision)}; ${textTowerKind(text).describe(text)}`;
  return decoder === null ? towers : `${towers}; decoder × ${decoder.layers}`;
}

/** Preprocessing of the published models with such an image tower. */
export function preprocessOf({ vision }: { vision: VisionConfig }): Preprocess {
  return preprocessFor(vision.imageSize, imageTowerKind(vision).preprocess);
}

function byType<Kind extends { type: string }>(
  kinds: readonly Kind[],
  type: unknown,
  where: string,
): Kind {
  const kind = type === undefined ? kinds[0] : kinds.find((known) => known.type === type);
  if (kind !== undefined) return kind;
  const names = kinds.map((known) => known.type);
  throw new BantamError(
    `"type" of "${where}" is ${JSON.stringify(type)}${didYouMean(String(type), names)}; it must be one of: ${names.join(', ')}.`,
  );
}
