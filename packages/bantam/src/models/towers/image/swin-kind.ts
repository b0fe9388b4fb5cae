import { BantamError } from '../../../base/errors.js';
import { requireMultiple } from '../check-sizes.js';
import { count, list, positive, share } from '../../../base/fields.js';
import { readTimmTower, writeTimmTower, type TimmTowers } from './open-clip-timm.js';
import type { ImageTowerKind } from '../../tower.js';
import {
  swinPictures,
  swinStages,
  swinWidth,
  windowsPerEdge,
  type SwinConfig,
  type SwinStageSizes,
} from './swin-config.js';
import { SwinTransformer } from './swin.js';
import { timmHeadFields, timmHeadFlops } from './timm.js';

/** A block of width w on n tokens, of which attention sees N with those that fill up windows of L. */
function blockFlops({ grid, width, window, ...stage }: SwinStageSizes, mlpRatio: number): number {
  const seen = (windowsPerEdge({ grid, width, window, ...stage }) * window) ** 2;
  const attention = 8 * seen * width ** 2 + 4 * seen * window ** 2 * width;
  return attention + 4 * grid ** 2 * width * Math.floor(width * mlpRatio);
}

const inOpenClip = { patchSize: 4, windowSize: 7, mlpRatio: 4, imageSize: 224 };

const timm: TimmTowers<SwinConfig> = {
  models: {
    swin_tiny_patch4_window7_224: {
      ...inOpenClip,
      width: 96,
      depths: [2, 2, 6, 2],
      heads: [3, 6, 12, 24],
    },
    swin_small_patch4_window7_224: {
      ...inOpenClip,
      width: 96,
      depths: [2, 2, 18, 2],
      heads: [3, 6, 12, 24],
    },
    swin_base_patch4_window7_224: {
      ...inOpenClip,
      width: 128,
      depths: [2, 2, 18, 2],
      heads: [4, 8, 16, 32],
    },
  },
  pools: ['', 'avg'],
  dropPath: 0.1,
};

/** Swin transformers. */
export const swin: ImageTowerKind<SwinConfig> = {
  type: 'swin',
  fields: {
    imageSize: count(224),
    patchSize: count(4),
    width: count(96),
    depths: list(count(1), [2, 2, 6, 2]),
    heads: list(count(1), [3, 6, 12, 24]),
    windowSize: count(7),
    mlpRatio: positive(4),
    dropPath: share(0.1),
    ...timmHeadFields,
  },
  check(config) {
    requireMultiple(config, 'imageSize', 'patchSize', 'vision');
    for (const { width, heads } of swinStages(config)) {
      if (width % heads === 0) continue;
      throw new BantamError(
        `A stage of "vision" has width ${width}, which its ${heads} heads do not divide; change "width" or "heads".`,
      );
    }
  },
  ...swinPictures,
  blocks: /^trunk\.layers\.(\d+)\.(?:blocks\.(\d+)\.)?/,
  create: (options) => new SwinTransformer(options),
  flops(config, { embedDim }) {
    const stages = swinStages(config);
    const { patchSize, mlpRatio } = config;
    const [first] = stages as [SwinStageSizes];
    const embedding = 2 * first.grid ** 2 * first.width * 3 * patchSize ** 2;
    const merging = stages.slice(1).map(({ grid, width }) => 4 * grid ** 2 * width ** 2);
    const blocks = stages.map((stage) => stage.depth * blockFlops(stage, mlpRatio));
    const head = timmHeadFlops(config, { width: swinWidth(config), embedDim });
    return [embedding, ...merging, ...blocks, head].reduce((sum, part) => sum + part, 0);
  },
  describe: ({ width, depths, windowSize, imageSize }) =>
    `Swin ${width} × ${depths.join('-')}, window ${windowSize}, ${imageSize} px`,
  toOpenClip: (config) => writeTimmTower(config, timm),
  fromOpenClip: (tower, missing) => readTimmTower(tower, timm, missing),
};
