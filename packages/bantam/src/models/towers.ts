/** Every kind of tower. A new one is a file in `image-towers/` or `text-towers/` and a line here. */
import { didYouMean } from '../base/did-you-mean.js';
import { BantamError } from '../base/errors.js';
import { type Preprocess, preprocessFor } from './preprocess.js';
import type { ImageTowerKind, TextTowerKind } from './tower.js';
import { convNext, type ConvNextConfig } from './towers/image/convnext.js';
import { mixer, type MixerConfig } from './towers/image/mixer.js';
import type { MobileClipConfig } from './towers/image/mobileclip-config.js';
import { mobileClip } from './towers/image/mobileclip.js';
import { modifiedResNet, type ModifiedResNetConfig } from './towers/image/modified-resnet.js';
import { resNet, type ResNetConfig } from './towers/image/resnet.js';
import { siglipVit, type SiglipVitConfig } from './towers/image/siglip-vit.js';
import { swin, type SwinConfig } from './towers/image/swin.js';
import { vit, type VitConfig } from './towers/image/vit.js';
import { mobileClipText, type MobileClipTextConfig } from './towers/text/mobileclip-text.js';
import { textTransformer, type TextTransformerConfig } from './towers/text/text-transformer.js';

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
