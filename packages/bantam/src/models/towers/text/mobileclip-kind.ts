import { BantamError } from '../../../base/errors.js';
import {
  checkTransformer,
  transformerFields,
  transformerFlops,
} from '../../blocks/transformer-config.js';
import { requireMultiple } from '../check-sizes.js';
import { count, flag, index, object, optional, positive, text } from '../../../base/fields.js';
import type { TextTowerKind } from '../../tower.js';
import { mixerWidth, type MobileClipTextConfig } from './mobileclip-config.js';
import { MobileClipText } from './mobileclip-text.js';

/** MobileCLIP-S0's hybrid text tower. */
export const mobileClipText: TextTowerKind<MobileClipTextConfig> = {
  type: 'mobileclip',
  fields: {
    contextLength: count(77),
    vocabSize: count(49408),
    width: count(512),
    heads: count(8),
    ...transformerFields,
    layers: count(4),
    kernel: count(11),
    mixerRatio: positive(4),
    layerScale: positive(1e-5),
    padId: index(0),
    fused: flag(false),
    hfTokenizerName: optional(text()),
    tokenizerKwargs: optional(object()),
  },
  check(config, { customText }) {
    requireMultiple(config, 'width', 'heads', 'text');
    checkTransformer(config, 'text');
    if (!customText) {
      throw new BantamError(
        'A text tower of type "mobileclip" keeps its parameters under "text."; set "customText" to true.',
      );
    }
    if (config.kernel % 2 === 0) {
      throw new BantamError(`"kernel" of "text" (${config.kernel}) must be odd.`);
    }
    if (mixerWidth(config) < 1) {
      throw new BantamError('"mixerRatio" of "text" leaves no hidden unit; make it larger.');
    }
    if (config.padId >= config.vocabSize) {
      throw new BantamError(
        `"padId" of "text" is ${config.padId}, but the ids of ${config.vocabSize} tokens end before it.`,
      );
    }
  },
  blocks: /^(mixer_in|mixer_out|transformer\.resblocks\.\d+)\./,
  create: (options) => new MobileClipText(options),
  flops(config, { embedDim }) {
    const { contextLength, kernel, width } = config;
    // Two depthwise convolutions along the text, and the MLP.
    const mixer = 4 * contextLength * width * (kernel + mixerWidth(config));
    return transformerFlops(config, contextLength) + 2 * mixer + 2 * width * embedDim;
  },
  describe: ({ width, layers, fused }) =>
    `hybrid text ${width} × ${layers}${fused ? ', fused' : ''}`,
  toOpenClip: () => null,
  fromOpenClip: () => null,
};
