import { BantamError } from '../../../base/errors.js';
import {
  checkTransformer,
  describeBlocks,
  isPlain,
  transformerFields,
  transformerFlops,
} from '../../blocks/transformer-config.js';
import { requireMultiple } from '../check-sizes.js';
import { count, flag, index, object, oneOf, optional, text } from '../../../base/fields.js';
import { readTransformer, writeTransformer } from '../open-clip-members.js';
import type { TextTowerKind } from '../../tower.js';
import { TextTransformer } from './text-transformer.js';
import {
  computedPlaces,
  looksForEos,
  readsPadding,
  type TextTransformerConfig,
} from './text-transformer-config.js';

/** What OpenCLIP 3.3 also knows: its value that means what Bantam does, or nothing at all. */
const unsupported = {
  tokenizer_mode: null,
  hf_model_name: null,
};

/** CLIP's own text tower. */
export const textTransformer: TextTowerKind<TextTransformerConfig> = {
  type: 'transformer',
  fields: {
    contextLength: count(77),
    vocabSize: count(49408),
    width: count(512),
    heads: count(8),
    ...transformerFields,
    embedCls: flag(false),
    noCausalMask: flag(false),
    maskPadding: flag(false),
    poolType: oneOf('argmax', 'first', 'last', 'eos', 'mean'),
    textEnd: oneOf('argmax', 'eos'),
    padId: index(0),
    eosId: index(2),
    projType: oneOf('linear', 'none'),
    projBias: flag(false),
    hfTokenizerName: optional(text()),
    tokenizerKwargs: optional(object()),
  },
  check(config, { embedDim }) {
    requireMultiple(config, 'width', 'heads', 'text');
    checkTransformer(config, 'text');
    if (config.projType === 'none' && config.width !== embedDim) {
      throw new BantamError(
        `Without a projection the width of "text" (${config.width}) is the length of the features; ` +
          `set "embedDim" (${embedDim}) to it, or "projType" to "linear".`,
      );
    }
    checkPadding(config);
    for (const id of ['padId', 'eosId'] as const) {
      const used = id === 'padId' ? readsPadding(config) : looksForEos(config);
      if (!used || config[id] < config.vocabSize) continue;
      throw new BantamError(
        `"${id}" of "text" is ${config[id]}, but the ids of ${config.vocabSize} tokens end before it.`,
      );
    }
  },
  blocks: /^transformer\.resblocks\.(\d+)\./,
  create: (options) => new TextTransformer(options),
  flops(config, { embedDim, tokens }) {
    const { projType, width } = config;
    const places = computedPlaces(config, tokens);
    const projection = projType === 'none' ? 0 : 2 * width * embedDim;
    return transformerFlops(config, places) + projection;
  },
  positions: { name: 'positional_embedding', suffix: ({ embedCls }) => Number(embedCls) },
  describe: (config) => `text ${describeBlocks(config)}`,
  toOpenClip(config) {
    const own = config.maskPadding || config.poolType === 'mean' || config.textEnd === 'eos';
    return own || !isPlain(config) ? null : writeTransformer(config, textTransformer.fields);
  },
  fromOpenClip(tower, missing) {
    const { maskPadding, textEnd, ...fields } = textTransformer.fields;
    const read = readTransformer(tower, 'text_cfg', { fields, unsupported, missing });
    return { ...read, maskPadding: maskPadding.fallback, textEnd: textEnd.fallback };
  },
};

/** @throws BantamError where padding would count in spite of its mask, or is never seen anyway. */
function checkPadding(config: TextTransformerConfig): void {
  const { embedCls, maskPadding, noCausalMask, poolType } = config;
  if (!maskPadding) return;
  if (embedCls) {
    throw new BantamError(
      '"maskPadding" of "text" is without effect beside "embedCls", which has its own mask; leave it out.',
    );
  }
  if (!noCausalMask) {
    throw new BantamError(
      '"maskPadding" of "text" is without effect under a causal mask; set "noCausalMask" too, or leave it out.',
    );
  }
  if (poolType !== 'last') return;
  throw new BantamError(
    '"poolType" "last" of "text" reads padding, which "maskPadding" hides; choose another one.',
  );
}
