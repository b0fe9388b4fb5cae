/** The contrastive losses that a strategy may take, and their settings. */
import { exp, type Device, type Tensor } from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import type { DeepReadonly } from '../../base/readonly.js';
import { group, index, oneOf, setting, tagged } from '../../base/schema.js';
import {
  clipLoss,
  collapsedClipLoss,
  collapsedSigLipLoss,
  sigLipLoss,
  type PairwiseOptions,
} from '../../losses/index.js';
import type { Clip, ModelConfig } from '../../models/index.js';
import { captionGroups, toUnit } from './features.js';
import { createGlobalContrastive, globalLossSchema } from './global-contrastive.js';
import type { Samples, StepContext, Strategy, StrategyContext } from './strategy.js';

/** Settings of the losses over all pairs of image and caption of a batch. */
const pairwise = {
  duplicates: setting(
    oneOf('negatives', 'positives'),
    'negatives',
    'Role of images with the same caption within a batch.',
  ),
  chunk: setting(
    index(),
    0,
    'Captions whose logits are in memory at a time; 0: all, beyond a batch of 2048 as many as keep within 16 MB.',
  ),
};

/** The contrastive losses with their settings, told apart by `type`. */
export const contrastiveLossSchema = tagged([
  group({ type: v.literal('softmax'), ...pairwise }),
  group({ type: v.literal('sigmoid'), ...pairwise }),
  globalLossSchema,
]);

/** A contrastive loss with its settings. */
export type ContrastiveLoss = DeepReadonly<v.InferOutput<typeof contrastiveLossSchema>>;

/** The settings that every strategy has; `type` is its default loss. */
export function contrastiveEntries(type: ContrastiveLoss['type']) {
  return {
    loss: setting(
      contrastiveLossSchema,
      type,
      'Contrastive loss: softmax (CLIP), sigmoid (SigLIP) or global (FastCLIP).',
    ),
  };
}

/** Settings of {@link contrastiveEntries}. */
export interface ContrastiveSettings {
  readonly loss: ContrastiveLoss;
}

/** A contrastive loss with what it learns or estimates itself. */
export interface Contrastive extends Pick<
  Strategy,
  'module' | 'rules' | 'afterStep' | 'afterSkip' | 'collapsed'
> {
  /** The loss of image features and text features [B, D] of any length. */
  loss(image: Tensor, text: Tensor, context: StepContext): Tensor;
}

/** The loss that the settings name. */
export function createContrastive(
  { loss }: ContrastiveSettings,
  context: StrategyContext,
): Contrastive {
  switch (loss.type) {
    case 'global':
      return createGlobalContrastive(loss, context);
    case 'softmax':
      return {
        module: null,
        loss: (image, text, { model, samples }) =>
          clipLoss(
            toUnit(image),
            toUnit(text),
            exp(model.logitScale),
            pairwiseOptions(loss, samples, model.logitScale.device),
          ),
        collapsed: collapsedClipLoss,
      };
    case 'sigmoid':
      return {
        module: null,
        loss: (image, text, { model, samples }) =>
          sigLipLoss(toUnit(image), toUnit(text), {
            logitScale: exp(model.logitScale),
            logitBias: biasOf(model),
            ...pairwiseOptions(loss, samples, model.logitScale.device),
          }),
        collapsed: (batch, model) =>
          collapsedSigLipLoss(batch, {
            logitScale: Math.exp(model.logitScale.item()),
            logitBias: biasOf(model).item(),
          }),
      };
  }
}

/** The options of pairwise losses that the settings ask for; the global loss has none. */
export function pairwiseOptions(
  loss: ContrastiveLoss,
  samples: Samples,
  device: Device,
): PairwiseOptions {
  if (loss.type === 'global') return {};
  return {
    groups: loss.duplicates === 'positives' ? captionGroups(samples, device) : undefined,
    chunk: loss.chunk === 0 ? undefined : loss.chunk,
  };
}

/**
 * The model's configuration with what the loss needs: for `sigmoid` a bias of the logits, −10 beside
 * a scale of 10 as SigLIP starts them (Zhai et al. 2023, section 3.2), if it has none; for `global`
 * the temperature that it starts from.
 */
export function withLogits(model: ModelConfig, loss: ContrastiveLoss): ModelConfig {
  switch (loss.type) {
    case 'softmax':
      return model;
    case 'sigmoid':
      if (model.initLogitBias !== null) return model;
      return { ...model, initLogitScale: Math.log(10), initLogitBias: -10 };
    case 'global':
      return { ...model, initLogitScale: -Math.log(loss.temperature) };
  }
}

function biasOf({ logitBias }: Clip): Tensor {
  if (logitBias !== null) return logitBias;
  throw new BantamError(
    'The sigmoid loss needs a bias of the logits; set model.initLogitBias, such as to -10.',
  );
}
