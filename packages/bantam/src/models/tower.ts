/** Interfaces of towers, and of the kinds of towers that {@link ./towers.ts} lists. */
import { add, type Generator, type Module, type Tensor } from '@bantam/torch';
import * as v from 'valibot';
import { BantamError } from '../base/errors.js';
import { anyObject, count, setting, text, type Group } from '../base/schema.js';
import type { Preprocess } from './preprocess.js';

/** Output of a tower. */
export interface Encoded {
  /** Feature of the whole input, [B, embedDim]. */
  pooled: Tensor;
  /**
   * A vector for each token of the input, [B, L, width], if asked for: a text's tokens, an image's
   * patches or the locations of its last feature map, row by row.
   */
  tokens: Tensor | null;
  /** Added to the loss of each sample in training, [B], such as a router's loss; absent: nothing. */
  auxiliaryLoss?: Tensor | undefined;
}

/** Output of an image tower. */
export interface ImageEncoded extends Encoded {
  /** Vector of the image before its projection to a feature, [B, W]; without one, the feature. */
  representation: Tensor;
}

/** The sum of tensors of one shape; undefined if there are none. */
export function sumOf(tensors: readonly Tensor[]): Tensor | undefined {
  const [first, ...rest] = tensors;
  return first && rest.reduce(add, first);
}

/** Options of {@link ImageTower.encode}. */
export interface ImageEncodeOptions {
  /** Compute the vectors of the image's tokens as well. Default false. */
  tokens?: boolean;
  /** Random stream of patch dropout and stochastic depth in training. */
  generator?: Generator | undefined;
  /**
   * Fraction of each image's patches that training drops (FLIP, Li et al. 2023), for towers that
   * can. Default: the configuration's, or 0.
   */
  patchDropout?: number | undefined;
  /**
   * Side length of the images if it is not the configuration's, for towers whose weights fit any
   * size. Learned positions of patches are interpolated (bicubic, with antialias), fixed ones
   * computed for the other grid.
   */
  imageSize?: number | undefined;
}

/** Options of {@link TextTower.encode}. */
export interface TextEncodeOptions {
  /** Compute the tokens' vectors as well. Default false. */
  tokens?: boolean;
  /** Random stream of training. */
  generator?: Generator | undefined;
}

/** The part of a CLIP model that encodes images. */
export interface ImageTower extends Module {
  /**
   * Normalised pixels [B, 3, S, S] → features [B, embedDim].
   *
   * @throws BantamError if the pixels have another size, or the tower lacks what an option needs.
   */
  encode(pixels: Tensor, options?: ImageEncodeOptions): ImageEncoded;
}

/** The part of a CLIP model that encodes texts. */
export interface TextTower extends Module {
  /** Token ids int64 [B, L], L at most the context → features [B, embedDim]. */
  encode(ids: Tensor, options?: TextEncodeOptions): Encoded;
}

/** The side length of the input, a setting of every image tower. */
export function imageSizeSetting<const N extends number>(pixels: N) {
  return setting(count(), pixels, 'Side length of the square input in pixels.');
}

/** Settings of the input, which every text tower has. */
export const textInputEntries = {
  contextLength: setting(count(), 77, 'Most tokens of a text.'),
  vocabSize: setting(count(), 49408, 'Rows of the token embedding.'),
};

/** Settings of the tokenizer, which every text tower has. */
export const tokenizerEntries = {
  hfTokenizerName: setting(
    v.nullable(text()),
    null,
    "The tokenizer's name on Hugging Face; null: OpenAI CLIP's BPE.",
  ),
  tokenizerKwargs: setting(v.nullable(anyObject()), null, "OpenCLIP's options of the tokenizer."),
};

/** Settings that every image tower has. */
export interface ImageTowerConfig {
  /** The kind of tower. */
  readonly type: string;
  /** Side length of the square input in pixels. */
  readonly imageSize: number;
}

/** Arguments of a tower's constructor. */
export interface TowerOptions<Config> {
  config: Config;
  /** Length of the features. */
  embedDim: number;
  /** x·σ(1.702x) in place of GELU, as in OpenAI's models. */
  quickGelu: boolean;
  /** Initialises the weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** Options of an image tower's {@link TowerKind.flops}. */
export interface ImageFlopsOptions {
  embedDim: number;
  /** Count a training step, without the patches that it drops. */
  training: boolean;
  /** Fraction of the patches that it drops; default: the configuration's. */
  patchDropout?: number | undefined;
}

/** Options of a text tower's {@link TowerKind.flops}. */
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
  prefix(config: Config): number;
  /** G: patches along one side. */
  grid(config: Config): number;
}

/** A table of the positions of tokens, [L + S, W]. */
export interface TokenPositions<Config> {
  /** Its name in the tower's state dict. */
  readonly name: string;
  /** S: rows after those of the context, such as a class token's. */
  suffix(config: Config): number;
}

/** A tower's `vision_cfg` or `text_cfg` in OpenCLIP. */
export type OpenClipTower = Readonly<Record<string, unknown>>;

/** A tower's settings: a group with a `type`. */
export type TowerSchema = Group;

/** The configuration that a schema describes. */
export type ConfigOf<Schema extends TowerSchema> = Readonly<v.InferOutput<Schema>>;

/** One kind of tower: its settings, its module, and what follows from a configuration alone. */
export interface TowerKind<Schema extends TowerSchema, Tower, FlopsOptions, Positions> {
  /** The value of `type` in its configurations. */
  readonly type: string;
  /** Its settings, with their defaults. */
  readonly schema: Schema;
  /** @throws BantamError if sizes do not fit together. */
  check(config: ConfigOf<Schema>, model: { embedDim: number; customText: boolean }): void;
  create(options: TowerOptions<ConfigOf<Schema>>): Tower;
  /** FLOPs of one forward pass, 2 per multiply-add of products. */
  flops(config: ConfigOf<Schema>, options: FlopsOptions): number;
  /** The table of learned positions that can be interpolated for another size; absent: none. */
  readonly positions?: Positions;
  /**
   * Matches the names of a block's parameters within the tower. Parameters with equal groups are in
   * one block; an absent group counts as 0. Parameters listed before the first block are the
   * stem's, those after the last one the head's.
   */
  readonly blocks: RegExp;
  /** Short description: `ViT 256 × 6, patch 16, 64 px`. */
  describe(config: ConfigOf<Schema>): string;
  /** OpenCLIP's configuration of the same tower; null if OpenCLIP has no such tower. */
  toOpenClip(config: ConfigOf<Schema>): OpenClipTower | null;
  /**
   * The settings, without `type`, of a tower that OpenCLIP describes; null if the description is of
   * another kind. Names of what it asks for and Bantam lacks are added to `unsupported`.
   */
  fromOpenClip(tower: OpenClipTower, unsupported: string[]): Record<string, unknown> | null;
}

/** Which images a kind of image tower accepts. */
export interface ImageRules<Config extends ImageTowerConfig> {
  /** True if training can drop patches; absent: it cannot. */
  readonly dropsPatches?: true;
  /** @throws BantamError if such a tower's weights do not fit images of `imageSize` pixels. */
  checkImageSize(config: Config, imageSize: number): void;
}

/** A schema of an image tower's settings. */
export type ImageTowerSchema = TowerSchema & v.GenericSchema<unknown, ImageTowerConfig>;

/** A kind of image tower. */
export interface ImageTowerKind<Schema extends ImageTowerSchema>
  extends
    TowerKind<Schema, ImageTower, ImageFlopsOptions, PatchPositions<ConfigOf<Schema>>>,
    ImageRules<ConfigOf<Schema>> {
  /** Preprocessing of its published models, if it is not OpenAI's. */
  readonly preprocess?: Partial<Preprocess>;
}

/** A kind of text tower. */
export type TextTowerKind<Schema extends TowerSchema> = TowerKind<
  Schema,
  TextTower,
  TextFlopsOptions,
  TokenPositions<ConfigOf<Schema>>
>;

/** @throws BantamError unless one setting of a tower is a multiple of another. */
export function requireMultiple<Name extends string, DivisorName extends string>(
  config: Readonly<Record<NoInfer<Name> | NoInfer<DivisorName>, number>>,
  name: Name,
  divisorName: DivisorName,
  where: 'vision' | 'text',
): void {
  const [value, divisor] = [config[name], config[divisorName]];
  if (value % divisor === 0) return;
  throw new BantamError(
    `"${name}" of "${where}" (${value}) must be a multiple of "${divisorName}" (${divisor}).`,
  );
}
