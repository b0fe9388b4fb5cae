/** Candidates of a plan: model, batch, augmentation, strategy and fraction of the data. */
import {
  modelConfig,
  modelFlops,
  withChanges,
  type ModelConfig,
  type ModelConfigInput,
} from '../../models/index.js';
import { trainedVocabSize } from '../../text/index.js';
import type { SharedRunOptions } from '../config/schema.js';
import { knownModels, type KnownModel } from './models.js';
import {
  augmentEffects,
  floorMultiplier,
  keptFractions,
  learningRate,
  lnScaleOfBatch,
  lnScaleOfQuality,
  otherStrategies,
  strategyEffects,
  type CandidatePrior,
  type KeptFraction,
} from './prior.js';

/** Augmentations of candidates; `own` is the source's. */
export type AugmentChoice = keyof typeof augmentEffects;

/** Strategies of candidates. */
export type StrategyChoice = keyof typeof strategyEffects;

/** A choice that a plan compares. */
export interface Candidate {
  readonly name: string;
  /** Its model, as tables name it. */
  readonly model: string;
  /** The preset that its model is made of, and the changes to it. */
  readonly preset: string;
  readonly changes: ModelConfigInput;
  /** Its model's configuration with the vocabulary and the length of texts of these data. */
  readonly config: ModelConfig;
  /** Options of its runs. */
  readonly options: SharedRunOptions;
  readonly batch: number;
  readonly strategy: StrategyChoice;
  readonly augment: AugmentChoice;
  /** Fraction of the data with the highest scores. */
  readonly quality: KeptFraction;
  /** Equal for candidates whose samples cost the same. */
  readonly kind: string;
  /** Time of a sample in training relative to other candidates', estimated: {@link sampleCost}. */
  readonly cost: number;
  readonly prior: CandidatePrior;
}

/** Something that is no candidate, with the reason in a clause. */
export interface LeftOut {
  readonly name: string;
  readonly reason: string;
}

/** Facts of the data that candidates depend on. */
export interface CandidateFacts {
  readonly metric: string;
  /** Samples of an epoch. */
  readonly samplesPerEpoch: number;
  readonly contextLength: number;
  /** Tokens of a long caption. */
  readonly captionTokens: number;
  /** The source's own augmentation, if it is none of the named ones. */
  readonly hasOwnAugment: boolean;
  /** True if scores of the samples are given. */
  readonly isScored: boolean;
  /** Presets; undefined: all that are known. */
  readonly models: readonly string[] | undefined;
}

const batches = [64, 128, 256, 512] as const;

/** Each candidate's own deviation of ln s from its model's. */
const ownSd = { plain: 0.2, augmented: 0.35, strategy: 0.6 } as const;

/** All candidates for some data, and what is none. */
export function listCandidates(facts: CandidateFacts): {
  readonly candidates: readonly Candidate[];
  readonly leftOut: readonly LeftOut[];
} {
  const { samplesPerEpoch, hasOwnAugment, isScored } = facts;
  const usable = batches.filter((batch) => batch <= samplesPerEpoch);
  const leftOut: LeftOut[] = [
    ...batches
      .filter((batch) => batch > samplesPerEpoch)
      .slice(0, 1)
      .map((batch) => ({
        name: `batches of ${batch} or more`,
        reason: `an epoch has ${samplesPerEpoch} samples`,
      })),
    ...otherStrategies,
  ];
  const small = Math.max(2, samplesPerEpoch);
  const augments: readonly AugmentChoice[] = hasOwnAugment
    ? ['own', 'none', 'crop-flip']
    : ['none', 'photo', 'crop-flip', 'rand-augment'];
  const fractions: readonly KeptFraction[] = isScored ? keptFractions : [1];
  const candidates = knownModels(facts.models).flatMap((known) =>
    (usable.length > 0 ? usable : [small]).flatMap((batch) =>
      augments.flatMap((augment) =>
        strategiesOf(known, augment).flatMap((strategy) =>
          fractions
            .filter((quality) => quality * samplesPerEpoch >= batch)
            .map((quality) => candidateOf(known, { batch, augment, strategy, quality, facts })),
        ),
      ),
    ),
  );
  return { candidates, leftOut };
}

/** Strategies that leave out patches need a ViT; both are tried with the plainest augmentations. */
function strategiesOf({ preset }: KnownModel, augment: AugmentChoice): readonly StrategyChoice[] {
  const isPlain = augment === 'none' || augment === 'own';
  return preset.startsWith('ViT-') && isPlain ? ['clip', 'flip', 'clipa'] : ['clip'];
}

interface Choices {
  readonly batch: number;
  readonly augment: AugmentChoice;
  readonly strategy: StrategyChoice;
  readonly quality: KeptFraction;
  readonly facts: CandidateFacts;
}

function candidateOf(known: KnownModel, choices: Choices): Candidate {
  const { batch, augment, strategy, quality, facts } = choices;
  const { contextLength, captionTokens, metric } = facts;
  const { preset, changes, label } = known;
  const config = modelConfig(preset, changes);
  const fitted = withChanges(config, { text: { contextLength, vocabSize: trainedVocabSize } });
  const tokens = Math.min(captionTokens, contextLength);
  const reference = forwardFlops(modelConfig(referencePreset), { tokens, strategy: 'clip' });
  const lr = Number((learningRate(batch) * known.rate).toPrecision(2));
  const effects = [augmentEffects[augment], strategyEffects[strategy]];
  const isPlain = (augment === 'none' || augment === 'photo') && strategy === 'clip';
  const options: SharedRunOptions = {
    model: Object.keys(changes).length === 0 ? preset : config,
    train: { batchSize: batch, lr },
    tokenizer: { contextLength },
    ...(strategy !== 'clip' && { strategy }),
    ...(augment !== 'own' && { augment }),
  };
  return {
    name: [
      label,
      ...(strategy === 'clip' ? [] : [strategy]),
      `batch ${batch}`,
      ...(augment === 'own' ? [] : [augment === 'none' ? 'no augmentation' : augment]),
      ...(quality === 1 ? [] : [`top ${100 * quality} %`]),
    ].join(', '),
    model: label,
    preset,
    changes,
    config: fitted,
    options,
    batch,
    strategy,
    augment,
    quality,
    kind: `${label}, ${strategy}`,
    cost: sampleCost(forwardFlops(config, { tokens, strategy }), known.efficiency, strategy),
    prior: {
      model: label,
      batch,
      lnScale:
        known.lnScale +
        lnScaleOfBatch(batch) +
        lnScaleOfQuality(quality, metric) +
        effects.reduce((sum, { lnScale }) => sum + lnScale, 0),
      modelSd: known.sd,
      ownSd: isPlain ? ownSd.plain : strategy === 'clip' ? ownSd.augmented : ownSd.strategy,
      lnRepeats: effects.reduce((sum, { lnRepeats }) => sum + lnRepeats, 0),
      floor: floorMultiplier(forwardFlops(config, { tokens, strategy: 'clip' }), reference),
    },
  };
}

/** The model that scales are relative to. */
export const referencePreset = 'ModifiedResNet-Nano-64';

/** Exponent of a sample's time by FLOPs: small models use a CPU less well. */
const costExponent = 0.9;

/** Samples per second relative to what FLOPs and the model let expect. */
const strategyEfficiencies: Readonly<Record<StrategyChoice, number>> = {
  clip: 1,
  flip: 0.8,
  clipa: 0.7,
};

/**
 * Estimated time of a sample in training, in units of its own: F^0.9 of F FLOPs of its forward pass, divided
 * by the efficiencies of its model and its strategy.
 */
function sampleCost(flops: number, efficiency: number, strategy: StrategyChoice): number {
  return flops ** costExponent / efficiency / strategyEfficiencies[strategy];
}

/** FLOPs of a sample's forward pass, without what a strategy leaves out in its long phase. */
function forwardFlops(
  config: ModelConfig,
  { tokens, strategy }: { readonly tokens: number; readonly strategy: StrategyChoice },
): number {
  const { image, text } = modelFlops(config, { captionTokens: tokens });
  if (strategy === 'flip') return 0.5 * image + text;
  if (strategy === 'clipa') return 0.25 * image + 0.5 * text;
  return image + text;
}
