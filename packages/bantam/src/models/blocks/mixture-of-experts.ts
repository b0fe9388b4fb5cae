import {
  autocast,
  cat,
  type Generator,
  indexAdd,
  indexSelect,
  linear,
  Linear,
  Mlp,
  type MlpOptions,
  Module,
  mul,
  normalInit,
  reshape,
  split,
  type Tensor,
  to,
  unsqueeze,
  zeros,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { atLeast, count, type Fields } from '../../base/fields.js';
import { chooseExperts, dispatch, gatesOf, routingLoss } from './routing.js';

/** Mixtures of experts in place of some blocks' MLPs, as CLIP-UP has them (Wang et al. 2025). */
export interface MoeConfig {
  /** MLPs of a mixture. */
  readonly experts: number;
  /** Experts that a token is sent to. */
  readonly topK: number;
  /** The last one of each so many blocks has a mixture: with 2 the second, the fourth, … */
  readonly every: number;
  /**
   * While training, the most tokens that an expert takes, as a multiple of its even share; those
   * beyond it are sent to other experts. 0: any number, as in evaluation.
   */
  readonly capacityFactor: number;
  /** Weight of the load-balancing loss in the loss of training. */
  readonly balanceWeight: number;
  /** Weight of the router's z-loss in the loss of training. */
  readonly zLossWeight: number;
}

/** Members of {@link MoeConfig} with the values of CLIP-UP. */
export const moeFields: Fields<MoeConfig> = {
  experts: count(8),
  topK: count(2),
  every: count(2),
  capacityFactor: atLeast(0, 2),
  balanceWeight: atLeast(0, 0.01),
  zLossWeight: atLeast(0, 1e-4),
};

/** @throws BantamError where no blocks of such a kind can be among so many. */
export function checkMoe(
  { experts, topK, every, capacityFactor }: MoeConfig,
  blocks: number,
  where: 'vision' | 'text',
): void {
  if (topK > experts) {
    throw new BantamError(
      `"moe" of "${where}" sends a token to ${topK} of ${experts} experts; lower "topK".`,
    );
  }
  if (every > blocks) {
    throw new BantamError(
      `"moe" of "${where}" is for the last of each ${every} blocks, but there are ${blocks}; lower "every".`,
    );
  }
  if (capacityFactor > 0 && capacityFactor < 1) {
    throw new BantamError(
      `"capacityFactor" of "${where}" is ${capacityFactor}, which leaves no room for some tokens; make it 1 or more, or 0 for no limit.`,
    );
  }
}

/** Whether the block of this position has a mixture. */
export function hasMixture(moe: MoeConfig | null, block: number): moe is MoeConfig {
  return moe !== null && (block + 1) % moe.every === 0;
}

/** Options of {@link MixtureOfExperts}. */
export interface MixtureOfExpertsOptions extends MlpOptions {
  moe: MoeConfig;
}

/**
 * A sparse mixture of experts (Shazeer et al. 2017): each token goes to the few MLPs for which a
 * linear router has the highest scores, and gets Σ_e g_e·MLP_e(x) over them, g = softmax of their
 * scores. As Σ g_e = 1, experts that are all copies of one MLP are that MLP together, which is how
 * CLIP-UP starts (Wang et al. 2025).
 *
 * The tokens are grouped by expert, so that each expert computes its own tokens in one product. The
 * router computes in float32 under autocast as well, for its scores decide where a token goes.
 */
export class MixtureOfExperts extends Module {
  router: Linear;
  experts: Mlp[];
  readonly config: MoeConfig;

  constructor({ moe, ...options }: MixtureOfExpertsOptions) {
    super();
    const { width, generator } = options;
    this.router = new Linear({
      inFeatures: width,
      outFeatures: moe.experts,
      bias: false,
      generator: null,
    });
    this.experts = Array.from({ length: moe.experts }, () => new Mlp(options));
    this.config = moe;
    this.drawRouter(generator);
  }

  /** Draws the router's weights from N(0, 0.02²). */
  drawRouter(generator: Generator | null): void {
    normalInit(this.router.weight, generator, { std: 0.02 });
  }

  /**
   * [B, L, W] → [B, L, W]. While it is trained, what the router adds to the loss of each row is
   * appended to `auxiliary`.
   */
  forward(x: Tensor, { auxiliary }: { auxiliary?: Tensor[] | undefined } = {}): Tensor {
    const { topK, capacityFactor, balanceWeight, zLossWeight } = this.config;
    const tokens = reshape(x, [-1, x.dim(-1)]);
    const logits = autocast(
      'float32',
      () => linear(to(tokens, { dtype: 'float32' }), this.router.weight),
      { device: x.device.startsWith('cuda') ? 'cuda' : 'cpu' },
    );
    const limited = this.training && capacityFactor > 0;
    const share = (tokens.dim(0) * topK) / this.experts.length;
    const capacity = limited ? Math.ceil(share * capacityFactor) : null;
    const { wanted, taken } = chooseExperts(logits, { topK, capacity });
    if (this.training) {
      const rows = x.dim(0);
      auxiliary?.push(routingLoss(logits, wanted, { rows, balanceWeight, zLossWeight }));
    }
    return reshape(this.#mix(tokens, gatesOf(logits, taken), taken), x.shape);
  }

  /** Σ_e g_e·MLP_e(x) over the experts that take the token: [N, W] → [N, W]. */
  #mix(x: Tensor, gates: Tensor, taken: Tensor): Tensor {
    const sent = dispatch(gates, taken, this.config.topK);
    const parts = split(indexSelect(x, 0, sent.tokens), sent.loads);
    const outputs = cat(parts.map((part, i) => this.#expert(i).forward(part)));
    const { dtype, device } = outputs;
    const weighted = mul(outputs, unsqueeze(to(sent.gates, { dtype }), 1));
    return indexAdd(zeros(x.shape, { dtype, device }), 0, sent.tokens, weighted);
  }

  #expert(position: number): Mlp {
    const expert = this.experts[position];
    if (expert === undefined) throw new RangeError(`There is no expert ${position}.`);
    return expert;
  }
}
