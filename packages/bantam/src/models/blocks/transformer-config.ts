import * as v from 'valibot';
import { BantamError } from '../../base/errors.js';
import { count, flag, oneOf, positive, setting, type Group } from '../../base/schema.js';
import { checkMoe, hasMixture, moeSchema } from './mixture-of-experts.js';

/** Settings that image and text transformers share, with OpenCLIP's defaults; the width is theirs. */
export const transformerEntries = {
  layers: setting(count(), 12, 'Number of blocks that a token passes through.'),
  mlpRatio: setting(positive(), 4, "Hidden units of a block's MLP as a multiple of the width."),
  lsInitValue: setting(
    v.nullable(positive()),
    null,
    'Initial layer scale (Touvron et al. 2021, eq. 2); null: no layer scale.',
  ),
  normEps: setting(positive(), 1e-5, 'Added to the variance in layer norms.'),
  geluTanh: setting(flag(), false, 'Tanh approximation of GELU instead of the error function.'),
  block: setting(
    oneOf('pre-norm', 'sas-p'),
    'pre-norm',
    '`pre-norm`: residual blocks; `sas-p`: simplified ones (He and Hofmann 2024) without skip connections, value and output projections, and MLP biases, with ReLU.',
  ),
  sharedLayers: setting(
    count(),
    1,
    'Consecutive layers that share weights; 1: every layer has its own.',
  ),
  shared: setting(
    oneOf('block', 'attention'),
    'block',
    'Shared weights: the whole block, which is stored and trained once, or (`sas-p` only) the attention of the first layer.',
  ),
  moe: setting(
    v.nullable(moeSchema),
    null,
    "Mixtures of experts in place of some blocks' MLPs; null: none.",
  ),
};

/** Settings of a transformer's blocks, see {@link transformerEntries}, and its width. */
export interface TransformerConfig extends Readonly<
  v.InferOutput<Group<typeof transformerEntries>>
> {
  /** Length of a token's vector. */
  readonly width: number;
}

/** Settings of plain blocks: OpenCLIP has no others in these towers. */
export const plainBlocks = {
  lsInitValue: null,
  block: 'pre-norm',
  shared: 'block',
  sharedLayers: 1,
  moe: null,
} as const;

/** Index of the block of each layer. */
export function blockOfLayers({ layers, shared, sharedLayers }: TransformerConfig): number[] {
  const repeats = shared === 'block' ? sharedLayers : 1;
  return Array.from({ length: layers }, (_, layer) => Math.floor(layer / repeats));
}

/** Number of blocks. */
export function blockCount(config: TransformerConfig): number {
  return Math.max(...blockOfLayers(config)) + 1;
}

/** True if OpenCLIP can build these blocks. */
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

/** Short description: `256 × 6 SAS-P`. */
export function describeBlocks(config: TransformerConfig): string {
  const { block, layers, moe, shared, sharedLayers, width } = config;
  const kind = block === 'sas-p' ? ' SAS-P' : '';
  const sharing = sharedLayers > 1 ? `, each ${sharedLayers} one ${shared}` : '';
  const mixture = moe === null ? '' : `, ${moe.topK} of ${moe.experts} experts`;
  return `${width} × ${layers}${kind}${sharing}${mixture}`;
}

/** @throws BantamError if settings of a transformer contradict each other. */
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
 * FLOPs of the blocks for a sequence of n tokens of width w, with h hidden units in an MLP:
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
