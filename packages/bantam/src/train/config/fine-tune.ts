/** How a run starts from a trained model: what trains, and at which rates. */
import * as v from 'valibot';
import { UsageError } from '../../base/errors.js';
import type { DeepReadonly } from '../../base/readonly.js';
import {
  count,
  flag,
  fraction,
  group,
  oneOf,
  positive,
  setting,
  tagged,
  text,
} from '../../base/schema.js';
import type { TrainInput, TrainSettings } from './settings.js';

/** All weights train. */
const full = group({ type: v.literal('full') });

/** Low-rank changes train (Hu et al. 2021); the model's own weights are frozen. Defaults as in PEFT. */
const lora = group({
  type: v.literal('lora'),
  rank: setting(count(), 8, 'r: rank of the change of a weight.'),
  alpha: setting(positive(), 8, 'α: a change is scaled by α/r.'),
  rankStabilized: setting(flag(), false, 'Scale by α/√r instead (rsLoRA), for ranks far above 8.'),
  dropout: setting(fraction(), 0, "Fraction of a change's inputs that training drops."),
  targets: setting(
    v.pipe(
      v.array(text(), 'a list of patterns such as ["visual"]'),
      v.minLength(1, 'a list of one pattern at least, such as ["*"]'),
    ),
    ['*'],
    'Patterns of the names of the linear layers and attentions that are changed.',
  ),
  save: setting(
    oneOf('merged', 'adapter'),
    'merged',
    "merged: a model like any other. adapter: the changes alone in PEFT's layout, with a reference to the model in init.model.",
  ),
});

const betweenWanted = 'a number above 0 and below 1';

/** First the head, then all weights (Kumar et al. 2022, arXiv 2202.10054, "LP-FT"). */
const lpFt = group({
  type: v.literal('lp-ft'),
  headFraction: setting(
    v.pipe(v.number(betweenWanted), v.gtValue(0, betweenWanted), v.ltValue(1, betweenWanted)),
    0.2,
    'Fraction of the budget for the head alone: norm and projection after the last block of each tower, and the temperature.',
  ),
  headLr: setting(positive(), 10, "Peak learning rate of the head alone, times the training's."),
});

/** Schema of the fine-tuning methods; a name alone stands for its defaults. */
export const fineTuneSchema = tagged([full, lora, lpFt]);

/** A fine-tuning method, with its settings. */
export type FineTune = DeepReadonly<v.InferOutput<typeof fineTuneSchema>>;

/** Passes over the data of a fine-tuning whose budget is not given: as WiSE-FT and FLYP on ImageNet. */
export const FINE_TUNE_BUDGET = '10epochs';

/**
 * Settings of training for a model that is trained already, in place of the defaults for random weights.
 *
 * - All weights, and LP-FT: learning rate 1e-5 and weight decay 0.1 with AdamW and a cosine, as FLYP
 *   fine-tunes CLIP with its own contrastive loss on ImageNet (Goyal et al. 2023, arXiv 2212.00638, commands of
 *   its repository); WiSE-FT (Wortsman et al. 2022, arXiv 2109.01903) takes 3e-5 with a classifier.
 * - LoRA: 2e-4, as CLIP-LoRA on all its data sets (Zanella and Ben Ayed 2024, arXiv 2405.18541); weight decay
 *   0.01, AdamW's usual one, as few weights of small size train.
 *
 * Warm-up stays a tenth of the budget: FLYP's is 500 of 25,000 steps on ImageNet, and none with few shots.
 */
const fineTuneDefaults: Readonly<Record<FineTune['type'], TrainInput>> = {
  full: { lr: 1e-5, weightDecay: 0.1 },
  lora: { lr: 2e-4, weightDecay: 0.01 },
  'lp-ft': { lr: 1e-5, weightDecay: 0.1 },
};

/** The parts of a run's options that decide about fine-tuning. */
export interface FineTuneOptions {
  readonly fineTune?: string | { readonly type: FineTune['type'] } | undefined;
  readonly init?:
    { readonly model?: string | undefined; readonly image?: string | undefined } | undefined;
  readonly train?: TrainInput | undefined;
  readonly budget?: string | undefined;
}

/**
 * Options with the defaults of fine-tuning, if the run starts from a model that {@link isTrained}: not one
 * that `bantam models inherit` wrote.
 *
 * @param info - `bantam.json` of the model in `init.model`; null: the run names none
 * @throws UsageError if the fine-tuning method needs a trained model, or one alone.
 */
export function withFineTuneDefaults<Options extends FineTuneOptions>(
  options: Options,
  info: Readonly<Record<string, unknown>> | null,
): Options {
  const type = typeOf(options);
  const { model = '', image = '' } = options.init ?? {};
  if (type !== 'full' && model === '') {
    throw new UsageError(
      `The setting 'fineTune.type' is "${type}", which fine-tunes a trained model; name one with --init.`,
    );
  }
  const { fineTune } = options;
  const save = typeof fineTune === 'object' && 'save' in fineTune ? fineTune.save : undefined;
  if (save === 'adapter' && image !== '') {
    throw new UsageError(
      `The setting 'fineTune.save' is "adapter", which refers to one base model; leave out --init-image, or save "merged".`,
    );
  }
  if (!isTrained(info)) return options;
  return {
    ...options,
    budget: options.budget ?? FINE_TUNE_BUDGET,
    train: { ...fineTuneDefaults[type], ...options.train },
  };
}

/** True if there is an initial model, and no part of it is random. */
export function isTrained(info: Readonly<Record<string, unknown>> | null): boolean {
  return info !== null && !('inheritance' in info);
}

/** The type of options that are not checked yet; an unknown one is the schema's to refuse. */
function typeOf({ fineTune = 'full' }: FineTuneOptions): FineTune['type'] {
  const name = typeof fineTune === 'string' ? fineTune : fineTune.type;
  return name in fineTuneDefaults ? (name as FineTune['type']) : 'full';
}

/**
 * A sentence that names the defaults of fine-tuning which options leave to Bantam; undefined: none.
 *
 * @param options - As they were given
 * @param resolved - What they became
 */
export function fineTuneNote(
  { train = {}, budget, init }: FineTuneOptions,
  resolved: { readonly train: TrainSettings; readonly budget: string },
): string | undefined {
  const { lr, weightDecay } = resolved.train;
  const named = [
    ...(train.lr === undefined ? [`a learning rate of ${lr} (train.lr)`] : []),
    ...(train.weightDecay === undefined
      ? [`a weight decay of ${weightDecay} (train.weightDecay)`]
      : []),
    ...(budget === undefined
      ? [`${FINE_TUNE_BUDGET.replace('epochs', ' passes over the data')} (budget)`]
      : []),
  ];
  const [last, ...others] = named.toReversed();
  if (last === undefined) return undefined;
  const list = others.length === 0 ? last : `${others.toReversed().join(', ')} and ${last}`;
  return `${init?.model ?? ''} is fine-tuned with ${list} by default.`;
}
