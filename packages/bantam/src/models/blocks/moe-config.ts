import { BantamError } from '../../base/errors.js';
import { atLeast, count, type Fields } from '../../base/fields.js';

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
