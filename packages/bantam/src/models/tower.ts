import { add, type Generator, type Module, type Tensor } from '@bantam/torch';
import { BantamError } from '../base/errors.js';
import type { Fields } from '../base/fields.js';
import type { Preprocess } from './preprocess.js';

/** What a tower computes. */
export interface Encoded {
  /** The feature of the whole input, [B, embedDim]. */
  pooled: Tensor;
  /**
   * A vector for each token of the input, [B, L, width], where they were asked for: a text's tokens,
   * an image's patches or the places of its last feature map, row by row.
   */
  tokens: Tensor | null;
  /**
   * What training adds to the loss of each row, [B], such as that of a router; absent where there is
   * nothing.
   */
  auxiliaryLoss?: Tensor | undefined;
}

/** What an image tower computes. */
export interface ImageEncoded extends Encoded {
  /**
   * The picture's vector before its projection into the space of the features, [B, W]; the feature
   * itself where there is no projection.
   */
  representation: Tensor;
}

/** The sum of tensors of one shape; undefined where there are none. */
export function sumOf(tensors: readonly Tensor[]): Tensor | undefined {
  const [first, ...rest] = tensors;
  return first && rest.reduce(add, first);
}

/** Options of {@link ImageTower.encode}. */
export interface ImageEncodeOptions {
  /** Compute the vectors of the picture's parts as well. Default false. */
  tokens?: boolean;
  /** What a tower draws while it is trained, such as the patches that it leaves out. */
  generator?: Generator | undefined;
  /**
   * Share of the patches that training leaves out of each picture (FLIP, Li et al. 2023), for towers
   * that can. Default: the configuration's, or 0.
   */
  patchDropout?: number | undefined;
  /**
   * Edge of the pictures where it is not the configuration's, for towers that can read them with the
   * weights that they have. Learned positions of patches are interpolated (bicubic, with antialias),
   * fixed ones are those of the other grid.
   */
  imageSize?: number | undefined;
}

/** Options of {@link TextTower.encode}. */
export interface TextEncodeOptions {
  /** Compute the tokens' vectors as well. Default false. */
  tokens?: boolean;
  /** What a tower draws while it is trained. */
  generator?: Generator | undefined;
}

/** The part of a CLIP model that reads pictures. */
export interface ImageTower extends Module {
  /**
   * Normalised pixels [B, 3, S, S] → features [B, embedDim].
   *
   * @throws BantamError where the pixels are not of the expected size, or the tower cannot do what is
   * asked for.
   */
  encode(pixels: Tensor, options?: ImageEncodeOptions): ImageEncoded;
}

/** The part of a CLIP model that reads texts. */
export interface TextTower extends Module {
  /** Token ids int64 [B, L], L at most the context → features [B, embedDim]. */
  encode(ids: Tensor, options?: TextEncodeOptions): Encoded;
}

/** Members that every image tower's configuration has. */
export interface ImageTowerConfig {
  /** The kind of tower. */
  readonly type: string;
  /** Edge of the square input in pixels. */
  readonly imageSize: number;
}

/** Members that every text tower's configuration has. */
export interface TextTowerConfig {
  /** The kind of tower. */
  readonly type: string;
  /** The most tokens of a text. */
  readonly contextLength: number;
  /** Rows of the token embedding. */
  readonly vocabSize: number;
  /** The tokenizer's name among Hugging Face's; null: OpenAI CLIP's BPE. */
  readonly hfTokenizerName: string | null;
  /** OpenCLIP's options of the tokenizer. */
  readonly tokenizerKwargs: Readonly<Record<string, unknown>> | null;
}

/** What a tower is made from. */
export interface TowerOptions<Config> {
  config: Config;
  /** Length of the features. */
  embedDim: number;
  /** x·σ(1.702x) in place of GELU, as OpenAI's models have it. */
  quickGelu: boolean;
  /** Draws the initial weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** What {@link ImageTowerKind.flops} needs beside the configuration. */
export interface ImageFlopsOptions {
  embedDim: number;
  /** Count what a training step computes, without the patches that it leaves out. */
  training: boolean;
  /** Share of the patches that it leaves out; default: the configuration's. */
  patchDropout?: number | undefined;
}

/** What {@link TextTowerKind.flops} needs beside the configuration. */
export interface TextFlopsOptions {
  embedDim: number;
  /** Tokens of the text. */
  tokens: number;
}

/** A table of the positions of patches, [P + G², W] or [1, P + G², W]. */
export interface PatchPositions<Config> {
  /** Its name in the tower's state dict. */
  readonly name: string;
  /** P: rows before those of the grid, such as the class token's. */
  readonly prefix: number;
  /** G: patches along one edge. */
  grid(config: Config): number;
}

/** A table of the positions of tokens, [L + S, W]. */
export interface TokenPositions<Config> {
  /** Its name in the tower's state dict. */
  readonly name: string;
  /** S: rows behind those of the context, such as a class token's. */
  suffix(config: Config): number;
}

/** A tower's `vision_cfg` or `text_cfg` in OpenCLIP. */
export type OpenClipTower = Readonly<Record<string, unknown>>;

/** One kind of tower: its configuration, and what can be known from that alone. */
interface TowerKind<Config, Tower, FlopsOptions, Positions> {
  /** The value of `type` in its configurations. */
  readonly type: string;
  /** The other members of its configurations, with their defaults. */
  readonly fields: Fields<Omit<Config, 'type'>>;
  /** @throws BantamError where sizes do not fit together. */
  check(config: Config, model: { embedDim: number; customText: boolean }): void;
  create(options: TowerOptions<Config>): Tower;
  /** Floating-point operations of one forward pass, 2 per multiply-add of products. */
  flops(config: Config, options: FlopsOptions): number;
  /**
   * The table of learned positions that a checkpoint has, where it can be interpolated for another
   * size; absent: it has none, or none that could.
   */
  readonly positions?: Positions;
  /**
   * Finds the block of a parameter in its name within the tower: equal groups, equal block; a group
   * that is absent counts as 0. Parameters that are listed before the first block are the stem's,
   * those after the last one the head's.
   */
  readonly blocks: RegExp;
  /** A few words for people: `ViT 256 × 6, patch 16, 64 px`. */
  describe(config: Config): string;
  /** By what OpenCLIP builds the same tower; null where it has no such tower. */
  toOpenClip(config: Config): OpenClipTower | null;
  /**
   * The members, other than `type`, of a tower that OpenCLIP describes; null where the description
   * is of another kind. Names of what it asks for and Bantam lacks are added to `unsupported`.
   */
  fromOpenClip(tower: OpenClipTower, unsupported: string[]): Record<string, unknown> | null;
}

/** What pictures a kind of image tower reads. */
export interface PictureRules<Config extends ImageTowerConfig> {
  /** Whether training can leave patches out; absent: it cannot. */
  readonly leavesPatchesOut?: true;
  /**
   * @throws BantamError where a tower of this configuration cannot read pictures of `imageSize` pixels
   * with the weights that it has.
   */
  checkImageSize(config: Config, imageSize: number): void;
}

/** A kind of image tower. */
export interface ImageTowerKind<Config extends ImageTowerConfig>
  extends
    TowerKind<Config, ImageTower, ImageFlopsOptions, PatchPositions<Config>>,
    PictureRules<Config> {
  /** How its published models prepare pictures, where that is not as OpenAI's do. */
  readonly preprocess?: Partial<Preprocess>;
}

/** A kind of text tower. */
export type TextTowerKind<Config extends TextTowerConfig> = TowerKind<
  Config,
  TextTower,
  TextFlopsOptions,
  TokenPositions<Config>
>;

/** @throws BantamError unless one member of a tower's configuration is a multiple of another. */
export function requireMultiple<Config extends object>(
  config: Config,
  name: keyof Config & string,
  divisorName: keyof Config & string,
  where: 'vision' | 'text',
): void {
  const [value, divisor] = [config[name] as number, config[divisorName] as number];
  if (value % divisor === 0) return;
  throw new BantamError(
    `"${name}" of "${where}" (${value}) must be a multiple of "${divisorName}" (${divisor}).`,
  );
}
