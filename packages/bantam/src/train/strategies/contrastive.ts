import { exp, type Tensor } from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { index, oneOf, type Fields } from '../../base/fields.js';
import {
  clipLoss,
  collapsedClipLoss,
  collapsedSigLipLoss,
  sigLipLoss,
} from '../../losses/index.js';
import type { Clip, ModelConfig } from '../../models/index.js';
import type { LossContext, Strategy, StrategyOptions } from './strategy.js';
import { captionGroups, toUnit } from './features.js';
import {
  createGlobalContrastive,
  globalFields,
  type GlobalSettings,
} from './global-contrastive.js';

/** Settings of the loss that brings pairs together. */
export interface ContrastiveSettings extends GlobalSettings {
  /**
   * `softmax`: CLIP's. `sigmoid`: SigLIP's, every pair by itself. `global`: FastCLIP's, which
   * estimates the loss over the whole data set.
   */
  readonly loss: 'softmax' | 'sigmoid' | 'global';
  /** What pictures with the same caption are to each other within a batch. */
  readonly duplicates: 'negatives' | 'positives';
  /**
   * Captions whose logits are in memory at a time; 0: all, in batches beyond 2048 as many as keep
   * within 16 MB.
   */
  readonly lossChunk: number;
}

export type ContrastiveLoss = ContrastiveSettings['loss'];

/** The fields of {@link ContrastiveSettings} for strategies whose loss is by default the given one. */
export function contrastiveFields(loss: ContrastiveLoss = 'softmax'): Fields<ContrastiveSettings> {
  return {
    loss: { ...oneOf<ContrastiveLoss>('softmax', 'sigmoid', 'global'), fallback: loss },
    duplicates: oneOf('negatives', 'positives'),
    lossChunk: index(0),
    ...globalFields,
  };
}

/** A contrastive loss with what it learns or estimates itself. */
export interface Contrastive extends Pick<
  Strategy,
  'module' | 'rules' | 'afterStep' | 'afterSkip'
> {
  /** The loss of image features and text features [B, D] of any length. */
  loss(image: Tensor, text: Tensor, context: LossContext): Tensor;
  /** The loss of a batch where all features are equal; null where that is not fixed. */
  collapsed(batch: number, model: Clip): number | null;
}

/** The loss that the settings name. */
export function createContrastive(
  settings: ContrastiveSettings,
  options: StrategyOptions,
): Contrastive {
  const { loss, duplicates, lossChunk } = settings;
  if (loss === 'global') {
    if (duplicates === 'positives' || lossChunk > 0) {
      throw new BantamError(
        `The loss "global" of the strategy has neither "duplicates" as positives nor "lossChunk"; leave them out, or choose the loss "softmax" or "sigmoid".`,
      );
    }
    return createGlobalContrastive(settings, options);
  }
  const pairwise = ({ samples }: LossContext) => ({
    groups: duplicates === 'positives' ? captionGroups(samples) : undefined,
    chunk: lossChunk === 0 ? undefined : lossChunk,
  });
  if (loss === 'softmax') {
    return {
      module: null,
      loss: (image, text, context) =>
        clipLoss(toUnit(image), toUnit(text), exp(context.model.logitScale), pairwise(context)),
      collapsed: collapsedClipLoss,
    };
  }
  return {
    module: null,
    loss: (image, text, context) =>
      sigLipLoss(toUnit(image), toUnit(text), {
        logitScale: exp(context.model.logitScale),
        logitBias: biasOf(context.model),
        ...pairwise(context),
      }),
    collapsed: (batch, model) =>
      collapsedSigLipLoss(batch, {
        logitScale: Math.exp(model.logitScale.item()),
        logitBias: biasOf(model).item(),
      }),
  };
}

/**
 * The model's configuration with what the loss needs: for `sigmoid` a bias of the logits, −10 beside
 * a scale of 10 as SigLIP starts them (Zhai et al. 2023, section 3.2), where it has none; for
 * `global` the temperature that it starts from.
 */
export function withLogits(model: ModelConfig, settings: ContrastiveSettings): ModelConfig {
  const { loss, temperature } = settings;
  if (loss === 'global') return { ...model, initLogitScale: -Math.log(temperature) };
  if (loss === 'softmax' || model.initLogitBias !== null) return model;
  return { ...model, initLogitScale: Math.log(10), initLogitBias: -10 };
}

function biasOf({ logitBias }: Clip): Tensor {
  if (logitBias !== null) return logitBias;
  throw new BantamError(
    'The sigmoid loss needs a bias of the logits; set model.initLogitBias, such as to -10.',
  );
}
