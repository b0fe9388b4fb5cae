/** Every kind of tower. A new one is a file in `image-towers/` or `text-towers/` and a line here. */
import { BantamError } from '../base/errors.js';
import { didYouMean } from '../base/did-you-mean.js';
import type { ConvNextConfig } from './image-towers/convnext-config.js';
import { convNext } from './image-towers/convnext.js';
import type { MixerConfig } from './image-towers/mixer-config.js';
import { mixer } from './image-towers/mixer.js';
import type { MobileClipConfig } from './image-towers/mobileclip-config.js';
import { mobileClip } from './image-towers/mobileclip.js';
import { modifiedResNet } from './image-towers/modified-resnet.js';
import type { ModifiedResNetConfig } from './image-towers/modified-resnet-config.js';
import type { ResNetConfig } from './image-towers/resnet-config.js';
import { resNet } from './image-towers/resnet.js';
import type { SiglipVitConfig } from './image-towers/siglip-vit-config.js';
import { siglipVit } from './image-towers/siglip-vit.js';
import type { SwinConfig } from './image-towers/swin-config.js';
import { swin } from './image-towers/swin.js';
import type { VitConfig } from './image-towers/vit-config.js';
import { vit } from './image-towers/vit.js';
import type { MobileClipTextConfig } from './text-towers/mobileclip-config.js';
import { mobileClipText } from './text-towers/mobileclip.js';
import type { TextTransformerConfig } from './text-towers/transformer-config.js';
import { textTransformer } from './text-towers/transformer.js';
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
