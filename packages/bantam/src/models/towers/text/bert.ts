import {
  div,
  gelu,
  Linear,
  Module,
  mul,
  narrow,
  ne,
  repeatInterleave,
  reshape,
  squeeze,
  sum,
  to,
  unsqueeze,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { attendFlops } from '../../blocks/attention.js';
import { runBlock } from '../../blocks/run-block.js';
import { additiveMask } from '../../blocks/sequences.js';
import {
  requireMultiple,
  type Encoded,
  type TextEncodeOptions,
  type TextTower,
  type TextTowerKind,
  type TowerOptions,
} from '../../tower.js';
import { BertEmbeddings, BertLayer, BertPooler, type BertSizes } from './bert-blocks.js';
import {
  bertFromOpenClip,
  bertSchema,
  bertToOpenClip,
  checkBert,
  type BertConfig,
} from './bert-config.js';
import { requireContext } from './text-transformer.js';

/** Hidden units of a layer's MLP. */
function hiddenOf({ width, mlpRatio }: BertConfig): number {
  return Math.floor(width * mlpRatio);
}

/** Hidden units of the projection, as in OpenCLIP. */
function projectionWidth({ width }: BertConfig, embedDim: number): number {
  return Math.floor((width + embedDim) / 2);
}

class BertEncoder extends Module {
  layer: BertLayer[];

  constructor(layers: number, sizes: BertSizes) {
    super();
    this.layer = Array.from({ length: layers }, () => new BertLayer(sizes));
  }
}

/** `BertModel` of transformers, `RobertaModel` and `XLMRobertaModel`, which differ in their positions. */
class BertModel extends Module {
  embeddings: BertEmbeddings;
  encoder: BertEncoder;
  pooler: BertPooler | null;

  constructor(config: BertConfig, sizes: BertSizes) {
    super();
    this.embeddings = new BertEmbeddings({ ...config, ...sizes });
    this.encoder = new BertEncoder(config.layers, sizes);
    this.pooler = config.poolType === 'pooler' ? new BertPooler(sizes) : null;
  }
}

/**
 * A text tower of BERT's kind (Devlin et al. 2019; RoBERTa, Liu et al. 2019; XLM-R, Conneau et al.
 * 2020) as OpenCLIP's `HFTextEncoder` wraps it: post-norm layers in which tokens see all but the
 * padding, a mean over the tokens or the first one's vector, and a projection.
 */
export class BertText extends Module implements TextTower {
  transformer: BertModel;
  proj: Linear | (Linear | null)[] | null;
  readonly config: BertConfig;

  constructor({ config, embedDim, generator }: TowerOptions<BertConfig>) {
    super();
    const { width, heads, normEps, projType } = config;
    this.config = config;
    const sizes = { width, heads, normEps, hidden: hiddenOf(config), generator };
    this.transformer = new BertModel(config, sizes);
    const linear = (inFeatures: number, outFeatures: number) =>
      new Linear({ inFeatures, outFeatures, bias: false, generator });
    const hidden = projectionWidth(config, embedDim);
    this.proj =
      projType === 'none'
        ? null
        : projType === 'linear'
          ? linear(width, embedDim)
          : // GELU is between them, in OpenCLIP's list of layers too.
            [linear(width, hidden), null, linear(hidden, embedDim)];
  }

  /**
   * Token ids int64 [B, L] → features [B, embedDim]. Padding has no effect on them.
   *
   * @throws BantamError if texts are longer than the context.
   */
  encode(ids: Tensor, { tokens = false }: TextEncodeOptions = {}): Encoded {
    const { contextLength, padId, heads } = this.config;
    requireContext(ids, contextLength);
    const isText = ne(ids, padId);
    const { embeddings, encoder, pooler } = this.transformer;
    const perText = reshape(additiveMask(isText), [ids.dim(0), 1, ids.dim(1)]);
    const embedded = embeddings.forward(ids);
    const mask = to(repeatInterleave(perText, heads, 0), { dtype: embedded.dtype });
    const y = encoder.layer.reduce(
      (x, layer) => runBlock((x: Tensor, mask: Tensor) => layer.forward(x, mask), x, mask),
      embedded,
    );
    return {
      pooled: this.#project(pooler === null ? this.#pool(y, isText) : pooler.forward(y)),
      tokens: tokens ? y : null,
    };
  }

  #pool(y: Tensor, isText: Tensor): Tensor {
    if (this.config.poolType === 'first') return squeeze(narrow(y, 1, 0, 1), 1);
    const counted = unsqueeze(to(isText, { dtype: y.dtype }), -1);
    return div(sum(mul(y, counted), { dim: 1 }), sum(counted, { dim: 1 }));
  }

  #project(pooled: Tensor): Tensor {
    const { proj } = this;
    if (proj === null) return pooled;
    if (proj instanceof Linear) return proj.forward(pooled);
    const layers = proj.filter((layer) => layer !== null);
    return layers.reduce((x, layer, i) => layer.forward(i === 0 ? x : gelu(x)), pooled);
  }
}

/** Text towers of BERT's kind. */
export const bertText: TextTowerKind<typeof bertSchema> = {
  type: 'bert',
  schema: bertSchema,
  check(config, { embedDim, customText }) {
    requireMultiple(config, 'width', 'heads', 'text');
    checkBert(config, embedDim);
    if (!customText) {
      throw new BantamError(
        'A text tower of type "bert" keeps its parameters under "text."; set "customText" to true.',
      );
    }
  },
  blocks: /^transformer\.encoder\.layer\.(\d+)\./,
  create: (options) => new BertText(options),
  flops(config, { embedDim, tokens }) {
    const { layers, poolType, projType, width } = config;
    const products = 2 * tokens * (4 * width ** 2 + 2 * width * hiddenOf(config));
    const layer = products + attendFlops({ queries: tokens, tokens, width });
    const hidden = projectionWidth(config, embedDim);
    const projection = {
      none: 0,
      linear: 2 * width * embedDim,
      mlp: 2 * hidden * (width + embedDim),
    }[projType];
    return layers * layer + projection + (poolType === 'pooler' ? 2 * width ** 2 : 0);
  },
  describe: ({ width, layers }) => `BERT ${width} × ${layers}`,
  toOpenClip: bertToOpenClip,
  fromOpenClip: bertFromOpenClip,
};
