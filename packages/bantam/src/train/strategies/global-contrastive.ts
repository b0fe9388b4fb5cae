import {
  exp,
  full,
  indexCopy_,
  indexSelect,
  keep,
  Module,
  neg,
  noGrad,
  TensorBuffer,
  type GroupRule,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { atLeast, described, group, positive, setting } from '../../base/schema.js';
import { globalContrastiveLoss } from '../../losses/index.js';
import { indexTensor, toUnit } from './features.js';
import { SampleTemperatures } from './sample-temperatures.js';
import type { StepContext, StrategyContext } from './strategy.js';

/** Settings of every version. The defaults are the paper's for v3 on CC3M, from its public scripts. */
const entries = {
  type: v.literal('global'),
  gammaMin: setting(
    positive(),
    0.2,
    "γ at its end: weight of the present batch in a sample's running estimates.",
  ),
  gammaDecay: setting(positive(), 0.5, 'Fraction of the training over which γ falls from 1.'),
  temperature: setting(positive(), 0.07, 'Temperature at the start; constant in v1.'),
};

/** The scripts have ρ = 0.03 and a learning rate of 0.0133 for v2. */
const learned = {
  rho: setting(atLeast(0), 6.5, 'ρ of v2 and v3, which keeps temperatures from growing small.'),
  temperatureLr: setting(
    atLeast(0),
    0.2,
    "Learning rate of the temperature: a multiplier of the model's for v3, a constant for v2.",
  ),
};

const version = 'Temperature: v1 constant, v2 learned for each sample, v3 learned for all.';

/** FastCLIP's loss (Wei et al. 2024, 2407.01445) with the settings of each version. */
export const globalLossSchema = v.variant('version', [
  group({
    ...entries,
    version: v.optional(described(v.literal('v3'), version), 'v3'),
    ...learned,
  }),
  group({ ...entries, version: described(v.literal('v2'), version), ...learned }),
  group({ ...entries, version: described(v.literal('v1'), version) }),
]);

/** Settings of {@link createGlobalContrastive}. */
export type GlobalSettings = Readonly<v.InferOutput<typeof globalLossSchema>>;

/** ln u of every sample's image and text. */
class Estimates extends Module {
  logUImage: TensorBuffer;
  logUText: TensorBuffer;
  image: SampleTemperatures | null;
  text: SampleTemperatures | null;

  constructor({ version, temperature }: GlobalSettings, { samples }: StrategyContext) {
    super();
    this.logUImage = new TensorBuffer(full([samples], -Infinity));
    this.logUText = new TensorBuffer(full([samples], -Infinity));
    const own = () =>
      version === 'v2' ? new SampleTemperatures({ samples, initial: temperature }) : null;
    this.image = own();
    this.text = own();
  }
}

/** Temperatures that wait for the optimizer's step. */
interface PendingTemperatures {
  readonly epoch: number;
  readonly indices: Tensor;
  readonly leaves: readonly [Tensor, Tensor];
}

/**
 * γ along a cosine from 1 to its least value (FastCLIP, section 4), by the fraction of the
 * training; the paper counts epochs.
 */
function gammaAt(
  progress: number,
  { gammaMin, gammaDecay }: Pick<GlobalSettings, 'gammaMin' | 'gammaDecay'>,
): number {
  const along = Math.min(1, progress / gammaDecay);
  return gammaMin + (1 - gammaMin) * 0.5 * (1 + Math.cos(Math.PI * along));
}

/** FastCLIP's loss with its estimates (Wei et al. 2024, algorithm 1). */
export function createGlobalContrastive(settings: GlobalSettings, strategy: StrategyContext) {
  const { version, temperature } = settings;
  const rho = settings.version === 'v1' ? 0 : settings.rho;
  const temperatureLr = settings.version === 'v1' ? 0 : settings.temperatureLr;
  const estimates = new Estimates(settings, strategy);
  const pending: PendingTemperatures[] = [];
  const forget = (): void => {
    for (const { indices, leaves } of pending.splice(0)) {
      for (const tensor of [indices, ...leaves]) tensor.dispose();
    }
  };
  /** τ of the batch; of v2, as leaves whose gradients {@link afterStep} takes. */
  const temperatureOf = (indices: Tensor, { model, samples }: StepContext) => {
    const { image, text } = estimates;
    if (image === null || text === null) {
      return version === 'v1' ? temperature : exp(neg(model.logitScale));
    }
    const leaves = [image.leaf(indices), text.leaf(indices)] as const;
    pending.push({ epoch: samples.epoch, indices: keep(indices), leaves });
    return leaves;
  };
  const rules: GroupRule[] =
    version === 'v3' ? [{ match: 'logit_scale', weightDecay: 0, lrScale: temperatureLr }] : [];
  return {
    module: estimates,
    rules,
    loss(image: Tensor, text: Tensor, context: StepContext): Tensor {
      const indices = indexTensor(context.samples.indices, image.device);
      const { logUImage, logUText } = estimates;
      const { loss, logU } = globalContrastiveLoss(toUnit(image), toUnit(text), {
        logU: [indexSelect(logUImage, 0, indices), indexSelect(logUText, 0, indices)],
        gamma: gammaAt(context.progress, settings),
        temperature: temperatureOf(indices, context),
        rho,
      });
      noGrad(() => {
        indexCopy_(logUImage, 0, indices, logU[0]);
        indexCopy_(logUText, 0, indices, logU[1]);
      });
      return loss;
    },
    collapsed: () => null,
    afterStep() {
      for (const { indices, leaves, epoch } of pending) {
        estimates.image?.update(indices, leaves[0], { lr: temperatureLr, epoch });
        estimates.text?.update(indices, leaves[1], { lr: temperatureLr, epoch });
      }
      forget();
    },
    afterSkip: forget,
  };
}
