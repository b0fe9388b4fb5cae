import {
  at,
  isGradEnabled,
  LowRank,
  Module,
  scope,
  unpackRows,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import type { KeyValueCache } from './attention.js';
import { MixtureOfExperts } from './mixture-of-experts.js';
import {
  initBlock,
  ResidualBlock,
  type TransformerForwardOptions,
  type TransformerOptions,
} from './residual-block.js';
import { runBlock } from './run-block.js';
import { SasPBlock } from './sas-p.js';
import { gatherTokens, type Positions } from './sequences.js';
import {
  blockCount,
  blockOfLayers,
  mlpWidth,
  type TransformerConfig,
} from './transformer-config.js';

/**
 * Tokens of all sequences up to which the last layer computes all of them, though some suffice: its products
 * take less time than the operators that leave the others out.
 */
const fewTokens = 64;

/** A stack of blocks, some of which run several times in a row if layers share them. */
export class Transformer extends Module {
  resblocks: (ResidualBlock | SasPBlock)[];
  readonly config: TransformerConfig;

  constructor(options: TransformerOptions) {
    super();
    this.config = options.config;
    this.resblocks = [];
    for (let index = 0; index < blockCount(options.config); index++) {
      this.resblocks.push(createBlock(options, index, this.resblocks.at(-1)));
    }
  }

  /**
   * True if the blocks can run without padding: only their attention joins tokens, and no dropout is sampled for
   * them, which must not depend on the other texts.
   */
  get supportsUnpadding(): boolean {
    const isPlain = this.resblocks.every(
      (block) => block instanceof ResidualBlock && !(block.mlp instanceof MixtureOfExperts),
    );
    return isPlain && !(this.training && this.#isDropping());
  }

  #isDropping(): boolean {
    const modules = [...this.namedModules().values()];
    return modules.some((module) => module instanceof LowRank && module.isDropping);
  }

  /**
   * [B, L, W] → [B, L, W]. With `positions`, [B, 1, W]: the last layer then computes keys and values
   * of all tokens, but everything else for these positions alone, with the same result. With
   * `packing`, which needs {@link supportsUnpadding}, x is [T, W]; the last layer restores padding.
   */
  forward(x: Tensor, options: TransformerForwardOptions = {}): Tensor {
    const { causal = false, visible, positions, auxiliary } = options;
    const order = blockOfLayers(this.config);
    if (positions !== undefined && this.#hasFewTokens(x)) {
      const all = this.forward(x, { ...options, positions: undefined });
      return gatherTokens(all, positions);
    }
    return order.reduce((y, index, layer) => {
      const block = at(this.resblocks, index);
      const last = layer === order.length - 1;
      const packing = last ? undefined : options.packing;
      const { next, losses } = runBlock(
        (x: Tensor, visible?: Tensor, positions?: Positions) => {
          const losses: Tensor[] = [];
          const options = { causal, visible, positions, packing, auxiliary: losses };
          return { next: block.forward(x, options), losses };
        },
        last && options.packing ? unpackRows(y, options.packing) : y,
        visible,
        last ? positions : undefined,
      );
      auxiliary?.push(...losses);
      return next;
    }, x);
  }

  /**
   * True for inference of {@link fewTokens} on the CPU where the other tokens change no result. Training keeps
   * no activations of them.
   */
  #hasFewTokens(x: Tensor): boolean {
    const isFew = x.size <= fewTokens * x.dim(-1);
    return isFew && !isGradEnabled() && this.supportsUnpadding && x.device === 'cpu';
  }

  /**
   * {@link forward} with a causal mask for one further token of each sequence, [B, 1, W], through
   * pre-norm blocks with a cache each; `visible` as there, for all tokens up to this one.
   */
  step(x: Tensor, caches: readonly KeyValueCache[], visible?: Tensor): Tensor {
    return this.resblocks.reduce((y, block, layer) => {
      if (!(block instanceof ResidualBlock)) {
        throw new RangeError('Only pre-norm blocks decode token by token.');
      }
      return scope(() => block.step(y, at(caches, layer), visible));
    }, x);
  }
}

function createBlock(
  options: TransformerOptions,
  index: number,
  before: ResidualBlock | SasPBlock | undefined,
): ResidualBlock | SasPBlock {
  const { config, heads, generator } = options;
  const { block, normEps, shared, sharedLayers, width } = config;
  if (block === 'pre-norm') return new ResidualBlock(options, index);
  const sizes = { width, heads, hidden: mlpWidth(config), normEps, generator };
  return shared === 'attention' && index % sharedLayers > 0 && before instanceof SasPBlock
    ? new SasPBlock({ ...sizes, attention: before.attention })
    : new SasPBlock({ ...sizes, ownValues: index === 0 });
}

/**
 * Initialises residual blocks as OpenAI's and OpenCLIP's text towers do, see {@link initBlock};
 * simplified blocks keep their own initial weights.
 */
export function initTransformer(
  { resblocks }: Transformer,
  { width, layers }: TransformerConfig,
  generator: Generator | null,
): void {
  for (const block of resblocks) {
    if (block instanceof ResidualBlock) initBlock(block, { width, layers }, generator);
  }
}
