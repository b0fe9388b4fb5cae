import type { TransformerConfig } from '../blocks/transformer-config.js';
import type { TextTowerConfig } from '../tower.js';

/** A text transformer as CLIP has it. */
export interface TextTransformerConfig extends TextTowerConfig, TransformerConfig {
  readonly type: 'transformer';
  /** Number of attention heads. */
  readonly heads: number;
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
  noCausalMask,
  maskPadding,
  poolType,
}: TextTransformerConfig): boolean {
  return (noCausalMask && !maskPadding) || poolType === 'last';
}

/** Whether a text's end is told by {@link TextTransformerConfig.eosId}. */
export function looksForEos(config: TextTransformerConfig): boolean {
  const { poolType, textEnd, maskPadding } = config;
  return poolType === 'eos' || (textEnd === 'eos' && (maskPadding || poolType === 'mean'));
}
