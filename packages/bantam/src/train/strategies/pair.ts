import type { Tensor } from '@bantam/torch';
import {
  modelFlops,
  type ImageEncoded,
  type ModelConfig,
  type PerTower,
} from '../../models/index.js';
import { onePhase, type Phase } from './phases.js';
import type {
  CostOptions,
  EncodeContext,
  Features,
  Losses,
  LossContext,
  StepBatch,
  Strategy,
  StrategyOptions,
} from './strategy.js';
import { auxiliaryFeature, auxiliaryLoss } from './auxiliary.js';
import { createContrastive, type ContrastiveSettings } from './contrastive.js';

/** A tensor of a batch or of features that the strategy asked for. */
export function present(named: Readonly<Record<string, Tensor>>, name: string): Tensor {
  const found = named[name];
  if (found === undefined) throw new RangeError(`There is no '${name}' among the tensors.`);
  return found;
}

/** What a phase asks of the image tower; its configuration's own where nothing. */
function imageOptions({ patchDropout, imageSize }: Phase) {
  return {
    ...(patchDropout !== null && { patchDropout }),
    ...(imageSize !== null && { imageSize }),
  };
}

/** The image tower's output for one view, in the size and with the patches of the phase. */
export function encodeView(
  { images }: StepBatch,
  view: string,
  { model, streams, phase }: EncodeContext,
  { tokens = false }: { tokens?: boolean } = {},
): ImageEncoded {
  return model.visual.encode(present(images, view), {
    tokens,
    generator: streams.get('mask'),
    ...imageOptions(phase),
  });
}

/** A caption's features, an image's, and what the towers' routers add. */
export function pairFeatures(image: ImageEncoded, ids: Tensor, { model }: EncodeContext): Features {
  const text = model.text.encode(ids);
  return { image: image.pooled, text: text.pooled, ...auxiliaryFeature([image, text]) };
}

/** Operations of one pass of both towers, and of the decoder where there is one. */
export function towerFlops(
  model: ModelConfig,
  { captionTokens, phase }: Pick<CostOptions, 'captionTokens' | 'phase'>,
): PerTower {
  return modelFlops(model, { captionTokens, training: true, ...imageOptions(phase) });
}

/**
 * Passes of a trained tower: a backward pass costs about two forward passes, and one more where it
 * computes activations again.
 */
export function trainedPasses({
  forwardPasses,
  recomputed,
}: Pick<CostOptions, 'forwardPasses' | 'recomputed'>): number {
  return forwardPasses + 2 + Number(recomputed);
}

/**
 * One view of the image against its caption: what CLIP does (Radford et al. 2021, section 2.3), and
 * what the strategies after it build on.
 */
export function pairStrategy(
  settings: ContrastiveSettings,
  options: StrategyOptions,
  { phases = [onePhase] }: { phases?: readonly Phase[] } = {},
): Strategy {
  const contrastive = createContrastive(settings, options);
  return {
    ...contrastive,
    phases,
    views: (augment) => ({ image: augment }),
    encode: (batch, context) =>
      pairFeatures(encodeView(batch, 'image', context), batch.ids, context),
    losses(features: Features, context: LossContext): Losses {
      const [image, text] = [present(features, 'image'), present(features, 'text')];
      return {
        contrastive: contrastive.loss(image, text, context),
        ...auxiliaryLoss({ auxiliary: features.auxiliary }),
      };
    },
    flops(model, cost) {
      const { image, text } = towerFlops(model, cost);
      return trainedPasses(cost) * (image + text);
    },
  };
}
