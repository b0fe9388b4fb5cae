import type { Tensor } from '@bantam/torch';
import {
  modelFlops,
  type ImageEncoded,
  wholeTower,
  type ModelConfig,
  type PerTower,
  type TrainedCosts,
} from '../../models/index.js';
import { createContrastive, type ContrastiveSettings } from './contrastive.js';
import { auxiliaryFeature, auxiliaryLoss, requireTensor } from './features.js';
import { onePhase, type Phase } from './phases.js';
import type {
  CostOptions,
  Features,
  Losses,
  StepBatch,
  StepContext,
  Strategy,
  StrategyContext,
} from './strategy.js';

/** The image tower's options in a phase; the configuration's own for what the phase leaves open. */
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
  { model, streams, phase }: StepContext,
  { tokens = false }: { tokens?: boolean } = {},
): ImageEncoded {
  return model.visual.encode(requireTensor(images, view), {
    tokens,
    generator: streams.get('mask'),
    ...imageOptions(phase),
  });
}

/** Features of an image and of its caption, and the towers' auxiliary losses. */
function pairFeatures(image: ImageEncoded, ids: Tensor, { model }: StepContext): Features {
  const text = model.text.encode(ids);
  return { image: image.pooled, text: text.pooled, ...auxiliaryFeature([image, text]) };
}

/** FLOPs of one forward pass of both towers, and of the decoder if there is one. */
export function towerFlops(
  model: ModelConfig,
  { captionTokens, phase }: Pick<CostOptions, 'captionTokens' | 'phase'>,
): PerTower {
  return modelFlops(model, { captionTokens, training: true, ...imageOptions(phase) });
}

/**
 * Passes of a tower: a backward pass costs about two forward passes, one for the gradients of activations
 * and one for those of weights, and one more if it computes activations again. Weights that do not learn
 * cost less; low-rank changes add their products.
 */
export function trainedPasses(
  { forwardPasses, recomputed, trained }: Omit<CostOptions, 'captionTokens' | 'phase'>,
  tower: keyof TrainedCosts,
): number {
  const { activations, weights, changes } = trained?.[tower] ?? wholeTower;
  const through = forwardPasses + activations * (1 + Number(recomputed));
  return through * (1 + changes) + weights + changes;
}

/**
 * One view of the image against its caption: CLIP (Radford et al. 2021, section 2.3), on which the
 * other strategies build.
 */
export function pairStrategy(
  settings: ContrastiveSettings,
  context: StrategyContext,
  { phases = [onePhase] }: { phases?: readonly Phase[] } = {},
): Strategy {
  const contrastive = createContrastive(settings, context);
  return {
    ...contrastive,
    phases,
    views: (augment) => ({ image: augment }),
    encode: (batch, step) => pairFeatures(encodeView(batch, 'image', step), batch.ids, step),
    losses(features: Features, step: StepContext): Losses {
      const image = requireTensor(features, 'image');
      const text = requireTensor(features, 'text');
      return {
        contrastive: contrastive.loss(image, text, step),
        ...auxiliaryLoss({ auxiliary: features.auxiliary }),
      };
    },
    flops(model, cost) {
      const { image, text } = towerFlops(model, cost);
      return trainedPasses(cost, 'image') * image + trainedPasses(cost, 'text') * text;
    },
  };
}
