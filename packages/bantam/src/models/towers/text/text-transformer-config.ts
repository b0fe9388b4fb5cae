import type { TransformerConfig } from '../../blocks/transformer-config.js';
import type { TextTowerConfig } from '../../tower.js';

/** A text transformer as CLIP has it. */
export interface TextTransformerConfig extends TextTowerConfig, TransformerConfig {
  readonly type: 'transformer';
  /** Number of attention heads. */
  readonly heads: number;
  /**
   * Put a class token behind the text, at the end of the context, whose vector is then the text's (CoCa,
   * Yu et al. 2022, section 3.2), whatever {@link poolType} says. As in OpenCLIP's checkpoints nothing
   * sees what stands behind a {@link padId}: not the padding but its first place, and not the class
   * token but where the text fills the context.
   */
  readonly embedCls: boolean;
  /** Let every token see the tokens after it too. */
  readonly noCausalMask: boolean;
  /**
   * Without a causal mask, let no token see the padding: what lies behind the end of a text, whatever
   * its ids are.
   */
  readonly maskPadding: boolean;
  /**
   * The text's vector: at its highest id, first, last place, or first {@link eosId}, or the mean of
   * all up to its end.
   */
  readonly poolType: 'argmax' | 'first' | 'last' | 'eos' | 'mean';
  /** The end of a text for {@link maskPadding} and `mean`: its highest id, or first {@link eosId}. */
  readonly textEnd: 'argmax' | 'eos';
  /** Id that fills a text up to the context, where pooling or mask depends on it. */
  readonly padId: number;
  /** Id that `eos` looks for. */
  readonly eosId: number;
  /** `none`: the pooled vector is the feature. */
  readonly projType: 'linear' | 'none';
  /** Whether the last projection has a bias. */
  readonly projBias: boolean;
}

/** Whether a text tower is of this kind. */
export function isTextTransformer(config: TextTowerConfig): config is TextTransformerConfig {
  return config.type === 'transformer';
}

/**
 * Whether features depend on the padding behind a text, so that every text must be filled up to
 * the context: without any mask, or pooled at the last place.
 */
export function needsContext({
  embedCls,
  noCausalMask,
  maskPadding,
  poolType,
}: TextTransformerConfig): boolean {
  return !embedCls && ((noCausalMask && !maskPadding) || poolType === 'last');
}

/** How many places a text of so many tokens takes in the blocks. */
export function computedPlaces(config: TextTransformerConfig, tokens: number): number {
  const { contextLength, embedCls } = config;
  if (needsContext(config)) return contextLength;
  // The class token, and the first place of the padding where there is one.
  return embedCls ? Math.min(tokens + 1, contextLength) + 1 : tokens;
}

/** Whether features depend on which id it is that fills texts up. */
export function readsPadding(config: TextTransformerConfig): boolean {
  return config.embedCls || needsContext(config);
}

/** Whether a text's end is told by {@link TextTransformerConfig.eosId}. */
export function looksForEos(config: TextTransformerConfig): boolean {
  const { embedCls, poolType, textEnd, maskPadding } = config;
  if (embedCls) return false;
  return poolType === 'eos' || (textEnd === 'eos' && (maskPadding || poolType === 'mean'));
}
