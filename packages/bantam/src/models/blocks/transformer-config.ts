import { BantamError } from '../../base/errors.js';
import { count, type Fields, flag, oneOf, optional, positive, section } from '../../base/fields.js';
import { checkMoe, hasMixture, type MoeConfig, moeFields } from './mixture-of-experts.js';

/** What image and text transformers have in common. */
export interface TransformerConfig {
  /** Length of a token's vector. */
  readonly width: number;
  /** Number of blocks that a token passes through. */
  readonly layers: number;
  /** Hidden units of a block's MLP as a multiple of the width. */
  readonly mlpRatio: number;
  /** First value of the layer scale (Touvron et al. 2021, eq. 2); null: none. */
  readonly lsInitValue: number | null;
  /** Added to the variance by every layer norm. */
  readonly normEps: number;
  /** GELU by its tanh approximation, in place of the error function. */
  readonly geluTanh: boolean;
  /**
   * `pre-norm`: residual blocks, as CLIP has them; `sas-p`: simplified ones (He and Hofmann 2024)
   * without skip connections, projections of values and outputs, and biases in the MLP, which has
   * ReLU.
   */
  readonly block: 'pre-norm' | 'sas-p';
  /** Layers in a row that share weights: the first so many, the next, … 1: every layer has its own. */
  readonly sharedLayers: number;
  /**
   * What such layers share. `block`: they are one block, which is stored, counted and trained once.
   * `attention`: the first one's attention stands in for those of the others (`sas-p` only).
   */
  readonly shared: 'block' | 'attention';
  /** Mixtures of experts in place of some blocks' MLPs; null: none. */
  readonly moe: MoeConfig | null;
}

/** Members of {@link TransformerConfig} whose defaults both towers share with OpenCLIP. */
export const transformerFields: Fields<Omit<TransformerConfig, 'width'>> = {
  layers: count(12),
  mlpRatio: positive(4),
  lsInitValue: optional(positive(1)),
  normEps: positive(1e-5),
  geluTanh: flag(false),
  block: oneOf('pre-norm', 'sas-p'),
  sharedLayers: count(1),
  shared: oneOf('block', 'attention'),
  moe: optional(section(moeFields)),
};

/** The members of blocks that have no options of their own. */
export const plainBlocks = {
  lsInitValue: null,
  block: 'pre-norm',
  shared: 'block',
  sharedLayers: 1,
  moe: null,
} as const;

/** For each layer the block that it is. */
export function blockOfLayers({ layers, shared, sharedLayers }: TransformerConfig): number[] {
  const repeats = shared === 'block' ? sharedLayers : 1;
  return Array.from({ length: layers }, (_, layer) => Math.floor(layer / repeats));
}

/** Number of blocks. */
export function blockCount(config: TransformerConfig): number {
  return (blockOfLayers(config).at(-1) ?? 0) + 1;
}

/** Whether OpenCLIP can build these blocks. */
export function isPlain({ block, sharedLayers, moe }: TransformerConfig): boolean {
  return block === 'pre-norm' && sharedLayers === 1 && moe === null;
}

/** Hidden units of a block's MLP, rounded down as OpenCLIP does. */
export function mlpWidth({
  width,
  mlpRatio,
}: Pick<TransformerConfig, 'width' | 'mlpRatio'>): number {
  return Math.floor(width * mlpRatio);
}

/** A few words for people: `256 × 6 SAS-P`. */
export function describeBlocks(config: TransformerConfig): string {
  const { block, layers, moe, shared, sharedLayers, width } = config;
  const kind = block === 'sas-p' ? ' SAS-P' : '';
  const sharing = sharedLayers > 1 ? `, each ${sharedLayers} one ${shared}` : '';
  const mixture = moe === null ? '' : `, ${moe.topK} of ${moe.experts} experts`;
  return `${width} × ${layers}${kind}${sharing}${mixture}`;
}

/** @throws BantamError where a transformer of this configuration cannot be. */
export function checkTransformer(config: TransformerConfig, where: 'vision' | 'text'): void {
  const { block, layers, lsInitValue, moe, shared, sharedLayers } = config;
  if (mlpWidth(config) < 1) {
    throw new BantamError(`"mlpRatio" of "${where}" leaves no hidden unit; make it larger.`);
  }
  if (sharedLayers > layers) {
    throw new BantamError(
      `"sharedLayers" of "${where}" (${sharedLayers}) is more than its "layers" (${layers}); lower it.`,
    );
  }
  if (moe !== null) checkMoe(moe, blockCount(config), where);
  if (block === 'pre-norm') {
    if (shared === 'block') return;
    throw new BantamError(
      `Pre-norm blocks of "${where}" cannot share their attention alone; set "shared" to "block", or "block" to "sas-p".`,
    );
  }
  for (const [name, value] of Object.entries({ lsInitValue, moe })) {
    if (value === null) continue;
    throw new BantamError(
      `"${name}" of "${where}" needs pre-norm blocks; set it to null, or "block" to "pre-norm".`,
    );
  }
}

/**
 * Operations of the blocks for a sequence of n tokens of width w, with h hidden units in an MLP:
 * 4n²w + 2n(4w² + 2wh) for a pre-norm block, whose MLP counts once for each expert of a token and
 * whose router takes 2nwE; 4n²w + 2n(2w² + 2wh) for a simplified one, with 2nw² more where its values
 * are a product of their own: in the first layer, and those that share with it.
 */
export function transformerFlops(config: TransformerConfig, tokens: number): number {
  return blockOfLayers(config).reduce((sum, block, layer) => {
    const first = layer < config.sharedLayers;
    return sum + blockFlops(config, tokens, { block, first });
  }, 0);
}

function blockFlops(
  config: TransformerConfig,
  tokens: number,
  position: { block: number; first: boolean },
): number {
  const { block, moe, width } = config;
  const mlp = 2 * width * mlpWidth(config);
  const attention = 4 * tokens ** 2 * width;
  if (block === 'sas-p') {
    const squares = position.first ? 3 : 2;
    return attention + 2 * tokens * (squares * width ** 2 + mlp);
  }
  const units = hasMixture(moe, position.block) ? moe.topK * mlp + width * moe.experts : mlp;
  return attention + 2 * tokens * (4 * width ** 2 + units);
}
