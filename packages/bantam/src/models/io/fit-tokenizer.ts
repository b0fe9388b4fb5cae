import { BantamError } from '../../base/errors.js';
import type { Tokenizer } from '../../text/index.js';
import { withChanges, type ModelConfig } from '../config.js';
import { isTextTransformer } from '../towers/text/text-transformer.js';
import { paddedAs } from './directory.js';

/**
 * A model that is still to be trained, with the special ids of a tokenizer: its padding, and its end
 * token in towers that read a text there. Towers that look for the highest id look for the end token
 * instead if that is another one, as in T5's and BERT's vocabularies.
 *
 * @throws BantamError if a tower can only look for the highest id, and that does not end texts
 */
export function fitTokenizer(config: ModelConfig, tokenizer: Tokenizer): ModelConfig {
  const { text } = config;
  const { eotId, padId, vocabSize } = tokenizer;
  const padded = paddedAs(config, tokenizer);
  if (text.type === 'bert') return withChanges(padded, { text: { padId } });
  if (eotId === vocabSize - 1) return padded;
  if (!isTextTransformer(text)) {
    throw new BantamError(
      `A text tower of type "${text.type}" reads a text at its highest id, which does not end texts in the tokenizer; use one of "bantam tokenizer train" or CLIP's, or another model.`,
    );
  }
  const { poolType, textEnd, embedCls, maskPadding } = text;
  const pools = poolType === 'argmax';
  const measures = textEnd === 'argmax' && (maskPadding || poolType === 'mean');
  if (embedCls || !(pools || measures)) return padded;
  if (eotId < 0) {
    throw new BantamError(
      'The text tower looks for the end token of a text, which the tokenizer does not have; set "poolType" of "text" to "first" or "last" without "maskPadding", or use another tokenizer.',
    );
  }
  return withChanges(padded, {
    text: {
      eosId: eotId,
      ...(pools && { poolType: 'eos' as const }),
      ...(measures && { textEnd: 'eos' as const }),
    },
  });
}
