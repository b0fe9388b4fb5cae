/** Every kind of tower. A new one is a file in `image-towers/` or `text-towers/` and a line here. */
import { BantamError } from '../base/errors.js';
import { didYouMean } from '../base/did-you-mean.js';
import type { ConvNextConfig } from './towers/image/convnext-config.js';
import { convNext } from './towers/image/convnext-kind.js';
import type { MixerConfig } from './towers/image/mixer-config.js';
import { mixer } from './towers/image/mixer-kind.js';
import type { MobileClipConfig } from './towers/image/mobileclip-config.js';
import { mobileClip } from './towers/image/mobileclip.js';
import { modifiedResNet } from './towers/image/modified-resnet-kind.js';
import type { ModifiedResNetConfig } from './towers/image/modified-resnet-config.js';
import type { ResNetConfig } from './towers/image/resnet-config.js';
import { resNet } from './towers/image/resnet-kind.js';
import type { SiglipVitConfig } from './towers/image/siglip-vit-config.js';
import { siglipVit } from './towers/image/siglip-vit-kind.js';
import type { SwinConfig } from './towers/image/swin-config.js';
import { swin } from './towers/image/swin-kind.js';
import type { VitConfig } from './towers/image/vit-config.js';
import { vit } from './towers/image/vit-kind.js';
import type { MobileClipTextConfig } from './towers/text/mobileclip-config.js';
import { mobileClipText } from './towers/text/mobileclip-kind.js';
import type { TextTransformerConfig } from './towers/text/text-transformer-config.js';
import { textTransformer } from './towers/text/text-transformer-kind.js';
import { preprocessFor, type Preprocess } from './preprocess.js';
import type { ImageTowerKind, TextTowerKind } from './tower.js';

/** The configuration of an image tower, by its `type`. */
export type VisionConfig =
  | VitConfig
  | ModifiedResNetConfig
  | ResNetConfig
  | ConvNextConfig
  | SiglipVitConfig
  | SwinConfig
  | MixerConfig
  | MobileClipConfig;

/** The configuration of a text tower, by its `type`. */
export type TextConfig = TextTransformerConfig | MobileClipTextConfig;

/** The kinds of image towers; the first is what a configuration without a `type` means. */
export const imageTowerKinds: readonly ImageTowerKind<VisionConfig>[] = [
  vit,
  modifiedResNet,
  resNet,
  convNext,
  siglipVit,
  swin,
  mixer,
  mobileClip,
];

/** The kinds of text towers; the first is what a configuration without a `type` means. */
export const textTowerKinds: readonly TextTowerKind<TextConfig>[] = [
  textTransformer,
  mobileClipText,
];

/** The kind of an image tower. */
export function imageTowerKind(config: { type: unknown }): ImageTowerKind<VisionConfig> {
  return byType(imageTowerKinds, config.type, 'vision');
}

/** The kind of a text tower. */
export function textTowerKind(config: { type: unknown }): TextTowerKind<TextConfig> {
  return byType(textTowerKinds, config.type, 'text');
}

/** `ViT 256 × 6, patch 16, 64 px; text 192 × 4`, and `; decoder × 3` where there is one. */
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

/** How the published models with such an image tower want their pictures. */
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
