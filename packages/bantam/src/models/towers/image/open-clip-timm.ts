import { BantamError } from '../../../base/errors.js';
import type { TimmHeadConfig } from './timm.js';
import type { OpenClipTower } from '../../tower.js';
import { sideLength } from '../open-clip-members.js';

/** OpenCLIP's description of one kind of timm's towers. */
export interface TimmTowers<Config> {
  /**
   * Timm's names, each with the members of the configuration that it stands for: the image size too
   * if the tower is bound to it.
   */
  readonly models: Readonly<Record<string, Partial<Config>>>;
  /** Values of `timm_pool` that mean the tower's own pooling. */
  readonly pools: readonly string[];
  /** Values of `timm_proj` that the tower can have; default: `linear` and `mlp`. */
  readonly projections?: readonly TimmHeadConfig['proj'][];
  /** Stochastic depth where `timm_drop_path` is absent; undefined: the tower has none. */
  readonly dropPath?: number;
  /**
   * The tower always has a projection of its own (`timm_proj` null), not OpenCLIP's head, and so no
   * setting of it. Default false.
   */
  readonly ownHead?: boolean;
  /** Values of `image_size` in OpenCLIP's own list that contradict the tower that they name. */
  readonly wrongSizes?: Readonly<Record<string, number>>;
}

type Timm = Partial<TimmHeadConfig> & { readonly imageSize: number; readonly dropPath?: number };

/**
 * The `vision_cfg` by which OpenCLIP builds a tower of timm; null if timm has no name for
 * its sizes.
 */
export function writeTimmTower<Config extends Timm>(
  config: Config,
  { models, pools, dropPath, ownHead = false }: TimmTowers<Config>,
): OpenClipTower | null {
  const own = new Map<string, unknown>(Object.entries(config));
  const name = Object.keys(models).find((known) =>
    Object.entries(models[known] ?? {}).every(([key, value]) => isEqual(own.get(key), value)),
  );
  if (name === undefined) return null;
  return {
    timm_model_name: name,
    timm_model_pretrained: false,
    timm_pool: pools[0],
    timm_proj: ownHead || config.proj === 'own' ? null : config.proj,
    ...(!ownHead && config.projBias && { timm_proj_bias: true }),
    timm_drop: 0,
    ...(dropPath !== undefined && { timm_drop_path: config.dropPath }),
    image_size: config.imageSize,
  };
}

function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/**
 * Members of a tower of timm from a `vision_cfg`; null where it names none of `models`.
 *
 * @throws BantamError for a member that is not one of OpenCLIP's for such towers.
 */
export function readTimmTower<Config extends Timm>(
  tower: OpenClipTower,
  towers: TimmTowers<Config>,
  missing: string[],
): Record<string, unknown> | null {
  const { models, pools, projections = ['linear', 'mlp'], dropPath, ownHead = false } = towers;
  const { timm_model_name: name, timm_pool: pool = 'avg', timm_proj: given = 'linear' } = tower;
  const proj = given === null || given === '' ? 'own' : given;
  const members = typeof name === 'string' ? models[name] : undefined;
  if (members === undefined) return null;
  const ask = (key: string, value: unknown) => {
    missing.push(`vision_cfg.${key} ${JSON.stringify(value)}`);
  };
  if (!pools.includes(String(pool))) ask('timm_pool', pool);
  const projects = ownHead ? proj === 'own' : projections.some((known) => known === proj);
  if (!projects) ask('timm_proj', given);
  if (tower.timm_drop !== undefined && tower.timm_drop !== 0) ask('timm_drop', tower.timm_drop);
  const known = [
    'timm_model_name',
    'timm_model_pretrained',
    'timm_pool',
    'timm_proj',
    'timm_proj_bias',
    'timm_drop',
    'timm_drop_path',
    'image_size',
  ];
  for (const key of Object.keys(tower)) {
    if (known.includes(key)) continue;
    throw new BantamError(
      `"${key}" of vision_cfg is not known for a tower of timm (${String(name)}); take it out, or correct it.`,
    );
  }
  const listed = sideLength(tower.image_size ?? 224);
  const isWrong = listed === towers.wrongSizes?.[String(name)];
  const imageSize = isWrong ? (members.imageSize ?? listed) : listed;
  if (members.imageSize !== undefined && imageSize !== members.imageSize)
    ask('image_size', imageSize);
  return {
    ...members,
    imageSize,
    ...(!ownHead && { proj, projBias: tower.timm_proj_bias ?? false }),
    ...(dropPath !== undefined && { dropPath: tower.timm_drop_path ?? dropPath }),
  };
}

/** {@link writeTimmTower} by the first of several lists of models that has the tower. */
export function writeTimmTowerOf<Config extends Timm>(
  config: Config,
  lists: readonly TimmTowers<Config>[],
): OpenClipTower | null {
  for (const towers of lists) {
    const written = writeTimmTower(config, towers);
    if (written !== null) return written;
  }
  return null;
}

/** {@link readTimmTower} by the first of several lists of models that has the tower. */
export function readTimmTowerOf<Config extends Timm>(
  tower: OpenClipTower,
  lists: readonly TimmTowers<Config>[],
  missing: string[],
): Record<string, unknown> | null {
  for (const towers of lists) {
    const read = readTimmTower(tower, towers, missing);
    if (read !== null) return read;
  }
  return null;
}
