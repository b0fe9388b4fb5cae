import {
  add,
  at,
  autocast,
  cat,
  detach,
  indexAdd,
  indexSelect,
  isRecording,
  linear,
  Linear,
  Mlp,
  Module,
  mul,
  narrow,
  normalInit,
  reshape,
  split,
  to,
  unsqueeze,
  zeros,
  type Generator,
  type MlpOptions,
  type Tensor,
} from '@bantam/torch';
import type * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { atLeast, count, group, setting } from '../../base/schema.js';
import { chooseExperts, dispatch, gatesOf, routingLoss } from './routing.js';

/** Settings of mixtures of experts, with CLIP-UP's defaults (Wang et al. 2025). */
export const moeSchema = group({
  experts: setting(count(), 8, 'MLPs of a mixture.'),
  topK: setting(count(), 2, 'Experts that a token is sent to.'),
  every: setting(
    count(),
    2,
    'The last of every so many blocks has a mixture: with 2 the second, the fourth, …',
  ),
  capacityFactor: setting(
    atLeast(0),
    2,
    'In training, the most tokens that an expert takes, as a multiple of an even load; tokens beyond it go to other experts. 0: no limit, as in evaluation.',
  ),
  balanceWeight: setting(atLeast(0), 0.01, 'Weight of the load-balancing loss.'),
  zLossWeight: setting(atLeast(0), 1e-4, "Weight of the router's z-loss."),
});

/** Mixtures of experts in place of some blocks' MLPs, see {@link moeSchema}. */
export type MoeConfig = Readonly<v.InferOutput<typeof moeSchema>>;

/** @throws BantamError if there can be no such mixtures in `blocks` blocks. */
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

/** True if the block of this index has a mixture. */
export function hasMixture(moe: MoeConfig | null, block: number): moe is MoeConfig {
  return moe !== null && (block + 1) % moe.every === 0;
}

/** Rows of all processes that have a part of a batch each, and the first of this process's. */
export interface GatheredRows {
  readonly rows: Tensor;
  readonly start: number;
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
 * router computes in float32 at least under autocast as well, for its scores decide where a token goes.
 */
export class MixtureOfExperts extends Module {
  router: Linear;
  experts: Mlp[];
  readonly config: MoeConfig;
  /**
   * The rows of all processes that have a part of the batch each, without gradient; null: this process has all of
   * it. The load of the experts is balanced and limited over the whole batch.
   */
  gatherParts: ((rows: Tensor) => GatheredRows) | null = null;

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
    this.initRouter(generator);
  }

  /** Initialises the router's weights from N(0, 0.02²). */
  initRouter(generator: Generator | null): void {
    normalInit(this.router.weight, generator, { std: 0.02 });
  }

  /**
   * [B, L, W] → [B, L, W]. In training, `auxiliary` receives what the router adds to the loss of
   * each row, [B].
   */
  forward(x: Tensor, { auxiliary }: { auxiliary?: Tensor[] | undefined } = {}): Tensor {
    const { topK, capacityFactor, balanceWeight, zLossWeight } = this.config;
    const tokens = reshape(x, [-1, x.dim(-1)]);
    const { effectiveWeight: weight } = this.router;
    const logits = autocast('float32', () => linear(to(tokens, { dtype: weight.dtype }), weight), {
      device: x.device,
    });
    const whole = this.training ? this.gatherParts?.(detach(logits)) : undefined;
    const { rows: scores, start } = whole ?? { rows: logits, start: 0 };
    const limited = this.training && capacityFactor > 0;
    const evenLoad = (scores.dim(0) * topK) / this.experts.length;
    const capacity = limited ? Math.ceil(evenLoad * capacityFactor) : null;
    const { wanted, taken: all } = chooseExperts(scores, { topK, capacity });
    const taken = whole === undefined ? all : narrow(all, 0, start, tokens.dim(0));
    if (this.training) {
      const rows = x.dim(0);
      auxiliary?.push(routingLoss(logits, wanted, { rows, balanceWeight, zLossWeight }));
    }
    const gates = gatesOf(logits, taken);
    const mixed = isRecording() ? this.#mixAll(tokens, gates) : this.#mix(tokens, gates, taken);
    return reshape(mixed, x.shape);
  }

  /**
   * {@link #mix} by all experts for all tokens, with gates of 0 where an expert does not take the
   * token: the operators then do not depend on where tokens go, so that they can be recorded.
   */
  #mixAll(x: Tensor, gates: Tensor): Tensor {
    return this.experts
      .map((expert, i) => mul(expert.forward(x), narrow(gates, 1, i, 1)))
      .reduce(add);
  }

  /** Σ_e g_e·MLP_e(x) over the experts that take the token: [N, W] → [N, W]. */
  #mix(x: Tensor, gates: Tensor, taken: Tensor): Tensor {
    const sent = dispatch(gates, taken, this.config.topK);
    const parts = split(indexSelect(x, 0, sent.tokens), sent.loads);
    const outputs = cat(parts.map((part, i) => at(this.experts, i).forward(part)));
    const { dtype, device } = outputs;
    const weighted = mul(outputs, unsqueeze(to(sent.gates, { dtype }), 1));
    return indexAdd(zeros(x.shape, { dtype, device }), 0, sent.tokens, weighted);
  }
}
