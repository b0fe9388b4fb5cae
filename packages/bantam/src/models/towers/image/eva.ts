import {
  add,
  cat,
  dims,
  expand,
  LayerNorm,
  Module,
  mul_,
  narrow,
  noGrad,
  type Parameter,
  select,
  type Generator,
  type Linear,
  type Tensor,
} from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { resizeGrid } from '../../blocks/grid-positions.js';
import { gridSize } from '../../blocks/patches.js';
import {
  rotaryPositions,
  rotaryTables,
  type RotaryPositions,
  type RotaryTables,
} from '../../blocks/rotary.js';
import { runBlock } from '../../blocks/run-block.js';
import {
  checkTransformer,
  mlpWidth,
  plainBlocks,
  transformerFlops,
} from '../../blocks/transformer-config.js';
import {
  requireMultiple,
  type ImageEncoded,
  type ImageEncodeOptions,
  type ImageTower,
  type ImageTowerKind,
  type TowerOptions,
} from '../../tower.js';
import { EvaBlock } from './eva-blocks.js';
import { evaSchema, evaTowers, type EvaConfig } from './eva-config.js';
import { readTimmTowerOf, writeTimmTowerOf } from './open-clip-timm.js';
import { requirePixels } from './pixels.js';
import { timmLinear } from './timm.js';
import {
  AttentionPoolLatent,
  attentionPoolFlops,
  PatchProjection,
  timmParameter,
} from './timm-vit-blocks.js';

/** Tokens before the patches. */
function classTokens({ classToken }: EvaConfig): number {
  return classToken ? 1 : 0;
}

function headWidth({ width, heads }: EvaConfig): number {
  return width / heads;
}

/** Settings of the blocks' products, which the order of their norms does not change. */
function blockSizes(config: EvaConfig) {
  return { ...plainBlocks, ...config, geluTanh: false, block: plainBlocks.block };
}

/** Sizes of the pooling by attention. */
function poolSizes(config: EvaConfig) {
  const { width, poolHeads: heads, poolMlpRatio: mlpRatio, normEps } = config;
  const activation = 'gelu' as const;
  return { width, heads, normEps, activation, hidden: mlpWidth({ width, mlpRatio }) };
}

/** The rotary tables of a tower by the size of its images. */
class RotaryCache {
  readonly #config: EvaConfig;
  readonly #tables = new Map<number, RotaryTables>();

  constructor(config: EvaConfig) {
    this.#config = config;
  }

  /** The positions of images of that size as tensors beside x; null: the tower has none. */
  positions(imageSize: number, { device }: Tensor): RotaryPositions | null {
    const { rotary } = this.#config;
    if (rotary === null) return null;
    const config = { ...this.#config, imageSize };
    let tables = this.#tables.get(imageSize);
    if (tables === undefined) {
      tables = rotaryTables({
        grid: gridSize(config),
        referenceGrid: rotary.grid,
        offset: rotary.offset,
        order: rotary.order,
        headWidth: headWidth(config),
        prefix: classTokens(config),
      });
      this.#tables.set(imageSize, tables);
    }
    return rotaryPositions(tables, device);
  }
}

/** Patches with positions, blocks, layer norm, pooling and projection, under timm's names. */
class EvaTrunk extends Module {
  patchEmbed: PatchProjection;
  clsToken: Parameter | null;
  posEmbed: Parameter;
  normPre: LayerNorm | null;
  blocks: EvaBlock[];
  norm: LayerNorm;
  attnPool: AttentionPoolLatent | null;
  head: Linear;
  readonly #config: EvaConfig;
  readonly #rotary: RotaryCache;

  constructor({ config, embedDim, generator }: TowerOptions<EvaConfig>) {
    super();
    const { width, layers, patchSize, preNorm, poolType, normEps: eps } = config;
    const prefix = classTokens(config);
    this.patchEmbed = new PatchProjection({ width, patchSize, bias: !preNorm, generator });
    this.clsToken = config.classToken ? timmParameter([1, 1, width], generator) : null;
    this.posEmbed = timmParameter([1, prefix + gridSize(config) ** 2, width], generator);
    this.normPre = preNorm ? new LayerNorm({ width, eps }) : null;
    this.blocks = Array.from({ length: layers }, (_, layer) =>
      createBlock(config, layer, generator),
    );
    this.norm = new LayerNorm({ width, eps });
    this.attnPool =
      poolType === 'map' ? new AttentionPoolLatent({ ...poolSizes(config), generator }) : null;
    this.head = timmLinear({ inFeatures: width, outFeatures: embedDim, generator });
    noGrad(() => mul_(this.head.weight, HEAD_SCALE));
    this.#config = config;
    this.#rotary = new RotaryCache(config);
  }

  /** [B, 3, S, S] → the class token's vector, if there is one, and the patches': [B, L, W] */
  forward(pixels: Tensor, options: ImageEncodeOptions): Tensor {
    const config = this.#config;
    const imageSize = requirePixels(pixels, { config, rules: eva, options });
    const prefix = classTokens(config);
    const patches = this.patchEmbed.forward(pixels);
    const [batch, , width] = dims(patches, 3);
    const tokens =
      this.clsToken === null
        ? patches
        : cat([expand(this.clsToken, [batch, 1, width]), patches], 1);
    const grid = gridSize({ ...config, imageSize });
    const placed = add(tokens, resizeGrid(this.posEmbed, { prefix, grid }));
    const x = this.normPre === null ? placed : this.normPre.forward(placed);
    const { cosines = null, sines = null } = this.#rotary.positions(imageSize, x) ?? {};
    return this.norm.forward(
      this.blocks.reduce((y, block) => runBlock(forwardBlock, block, y, cosines, sines), x),
    );
  }

  /** The image's vector of the tokens' vectors. */
  pool(tokens: Tensor): Tensor {
    return this.attnPool === null ? select(tokens, 1, 0) : this.attnPool.forward(tokens);
  }
}

/** A block on inputs of its own, so that gradient checkpointing keeps the positions. */
function forwardBlock(
  block: EvaBlock,
  x: Tensor,
  cosines: Tensor | null,
  sines: Tensor | null,
): Tensor {
  return block.forward(x, cosines === null || sines === null ? null : { cosines, sines });
}

/** Weight of the initial projection to the feature, as timm has it. */
const HEAD_SCALE = 1e-3;

function createBlock(config: EvaConfig, layer: number, generator: Generator | null): EvaBlock {
  const block = new EvaBlock({ ...config, hidden: mlpWidth(config), generator });
  block.scaleDown(Math.sqrt(2 * (layer + 1)));
  return block;
}

/**
 * EVA's image tower (Sun et al. 2023; Fang et al. 2023), and the Perception Encoder's (Bolya et al.
 * 2025): a vision transformer with learned and rotary positions. Equal to timm's `eva…` and
 * `vit_pe_core_…` inside OpenCLIP.
 */
export class EvaTower extends Module implements ImageTower {
  trunk: EvaTrunk;
  readonly config: EvaConfig;

  constructor(options: TowerOptions<EvaConfig>) {
    super();
    this.config = options.config;
    this.trunk = new EvaTrunk(options);
  }

  encode(pixels: Tensor, options: ImageEncodeOptions = {}): ImageEncoded {
    const { trunk, config } = this;
    const tokens = trunk.forward(pixels, options);
    const representation = trunk.pool(tokens);
    const prefix = classTokens(config);
    return {
      pooled: trunk.head.forward(representation),
      representation,
      tokens: options.tokens === true ? narrow(tokens, 1, prefix, tokens.dim(1) - prefix) : null,
    };
  }
}

/** The image towers of EVA-CLIP and the Perception Encoder. */
export const eva: ImageTowerKind<typeof evaSchema> = {
  type: 'eva',
  schema: evaSchema,
  check(config) {
    requireMultiple(config, 'width', 'heads', 'vision');
    checkTransformer(blockSizes(config), 'vision');
    eva.checkImageSize(config, config.imageSize);
    if (config.poolType === 'map') {
      requireMultiple(config, 'width', 'poolHeads', 'vision');
    } else if (!config.classToken) {
      throw new BantamError(
        '"poolType" "tok" of "vision" needs a class token; set "classToken" to true, or "poolType" to "map".',
      );
    }
    if (config.rotary !== null && headWidth(config) % 4 !== 0) {
      throw new BantamError(
        `Rotary positions of "vision" need heads whose width is a multiple of 4, not ${headWidth(config)}; change "width" or "heads".`,
      );
    }
  },
  checkImageSize(config, imageSize) {
    if (gridSize({ ...config, imageSize }) >= 1) return;
    throw new BantamError(
      `"imageSize" of "vision" (${imageSize}) has no room for a patch of ${config.patchSize} pixels.`,
    );
  },
  blocks: /^trunk\.blocks\.(\d+)\./,
  create: (options) => new EvaTower(options),
  flops(config, { embedDim }) {
    const { width, layers, patchSize, block, poolType } = config;
    const patches = gridSize(config) ** 2;
    const tokens = classTokens(config) + patches;
    const embedding = 2 * patches * width * 3 * patchSize ** 2;
    // A gated MLP has three products in place of two.
    const gate = block === 'sub-norm' ? 2 * tokens * width * mlpWidth(config) : 0;
    const blocks = transformerFlops(blockSizes(config), tokens);
    const pooling = poolType === 'map' ? attentionPoolFlops(poolSizes(config), tokens) : 0;
    return embedding + blocks + layers * gate + pooling + 2 * width * embedDim;
  },
  positions: { name: 'trunk.pos_embed', prefix: classTokens, grid: gridSize },
  describe: ({ width, layers, patchSize, imageSize, poolType }) =>
    `${poolType === 'map' ? 'PE' : 'EVA'} ${width} × ${layers}, patch ${patchSize}, ${imageSize} px`,
  toOpenClip: (config) => writeTimmTowerOf(config, evaTowers),
  fromOpenClip: (tower, missing) => readTimmTowerOf(tower, evaTowers, missing),
};
