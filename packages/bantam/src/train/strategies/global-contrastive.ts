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
import { atLeast, oneOf, positive, type Fields } from '../../base/fields.js';
import { globalContrastiveLoss } from '../../losses/index.js';
import type { LossContext, StrategyOptions } from './strategy.js';
import type { Contrastive } from './contrastive.js';
import { indexTensor, toUnit } from './features.js';
import { SampleTemperatures } from './sample-temperatures.js';

/** Settings of FastCLIP's loss; without effect under other losses. */
export interface GlobalSettings {
  /** The temperature: `v1` constant, `v2` learned for each sample and side, `v3` learned for all. */
  readonly version: 'v3' | 'v2' | 'v1';
  /** γ at its end: the share of the present batch in a sample's running estimates. */
  readonly gammaMin: number;
  /** Share of the training over which γ falls from 1. */
  readonly gammaDecay: number;
  /** ρ of v2 and v3, which keeps temperatures from growing small. */
  readonly rho: number;
  /** Temperature at the start. */
  readonly temperature: number;
  /** Learning rate of the temperature: a factor of the model's for v3, a constant for v2. */
  readonly temperatureLr: number;
}

/** The paper's values for v3 on CC3M, from its public scripts; they have 0.03 and 0.0133 for v2. */
export const globalFields: Fields<GlobalSettings> = {
  version: oneOf('v3', 'v2', 'v1'),
  gammaMin: positive(0.2),
  gammaDecay: positive(0.5),
  rho: atLeast(0, 6.5),
  temperature: positive(0.07),
  temperatureLr: atLeast(0, 0.2),
};

/** ln u of every sample's image and text. */
class Estimates extends Module {
  logUImage: TensorBuffer;
  logUText: TensorBuffer;
  image: SampleTemperatures | null;
  text: SampleTemperatures | null;

  constructor({ version, temperature }: GlobalSettings, { samples }: StrategyOptions) {
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
interface Pending {
  readonly epoch: number;
  readonly indices: Tensor;
  readonly leaves: readonly [Tensor, Tensor];
}

/**
 * γ along a cosine from 1 to its least value (FastCLIP, section 4), by the share of the training
 * where the paper goes by epochs.
 */
export function gammaAt(
  progress: number,
  { gammaMin, gammaDecay }: Pick<GlobalSettings, 'gammaMin' | 'gammaDecay'>,
): number {
  const along = Math.min(1, progress / gammaDecay);
  return gammaMin + (1 - gammaMin) * 0.5 * (1 + Math.cos(Math.PI * along));
}

/** FastCLIP's loss with its estimates (Wei et al. 2024, algorithm 1). */
export function createGlobalContrastive(
  settings: GlobalSettings,
  options: StrategyOptions,
): Contrastive {
  const { version, rho, temperature, temperatureLr } = settings;
  const estimates = new Estimates(settings, options);
  const pending: Pending[] = [];
  const forget = (): void => {
    for (const { indices, leaves } of pending.splice(0)) {
      for (const tensor of [indices, ...leaves]) tensor.dispose();
    }
  };
  /** τ of the batch; of v2, as leaves whose gradients {@link afterStep} takes. */
  const temperatureOf = (indices: Tensor, { model, samples }: LossContext) => {
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
    loss(image, text, context) {
      const indices = indexTensor(context.samples.indices);
      const { logUImage, logUText } = estimates;
      const { loss, logU } = globalContrastiveLoss(toUnit(image), toUnit(text), {
        logU: [indexSelect(logUImage, 0, indices), indexSelect(logUText, 0, indices)],
        gamma: gammaAt(context.progress, settings),
        temperature: temperatureOf(indices, context),
        rho: version === 'v1' ? 0 : rho,
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
