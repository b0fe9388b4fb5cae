import { full, Module, normalize, Parameter, type Generator, type Tensor } from '@bantam/torch';
import type { ModelConfig } from './config.js';
import { dropPrograms } from './inference/programs.js';
import { MultimodalDecoder } from './towers/decoder/multimodal-decoder.js';
import type { ImageEncodeOptions, ImageTower, TextTower } from './tower.js';
import { imageTowerKind, textTowerKind } from './towers.js';

/** Options of {@link createModel}. */
export interface CreateModelOptions {
  /** Initialises the weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** Options of {@link Clip.encodeText}, and of {@link Clip.encodeImage} with more. */
export interface FeatureOptions {
  /** Scale features to length 1. Default false. */
  normalize?: boolean;
  /** Random stream of patch dropout and stochastic depth in training. */
  generator?: Generator | undefined;
}

/** Options of {@link Clip.encodeImage}. */
export interface ImageFeatureOptions
  extends FeatureOptions, Pick<ImageEncodeOptions, 'patchDropout' | 'imageSize'> {}

/**
 * CLIP (Radford et al. 2021): an image tower and a text tower whose features can be compared, and
 * the temperature of the comparison; CoCa (Yu et al. 2022) with a decoder that writes captions.
 * Parameters have OpenCLIP's names.
 */
export class Clip extends Module {
  visual: ImageTower;
  text: TextTower;
  /** Decoder that writes captions; null: none. */
  textDecoder: MultimodalDecoder | null;
  /** Logarithm of the scale (inverse temperature) from cosines to logits. */
  logitScale: Parameter;
  /** Bias of the logits in the pairwise sigmoid loss; null: none. */
  logitBias: Parameter | null;
  readonly config: ModelConfig;

  constructor(config: ModelConfig, { generator }: CreateModelOptions) {
    super();
    const { embedDim, quickGelu, vision, text, decoder, initLogitScale, initLogitBias } = config;
    const shared = { embedDim, quickGelu, generator };
    this.config = config;
    this.visual = imageTowerKind(vision).create({ config: vision, ...shared });
    this.text = textTowerKind(text).create({ config: text, ...shared });
    const { width, vocabSize } = text;
    this.textDecoder =
      decoder === null
        ? null
        : new MultimodalDecoder({ config: decoder, width, vocabSize, quickGelu, generator });
    this.logitScale = new Parameter(full([], initLogitScale));
    this.logitBias = initLogitBias === null ? null : new Parameter(full([], initLogitBias));
  }

  /** OpenCLIP keeps a plain text tower's parameters at the top of the checkpoint. */
  protected override get hoisted(): readonly string[] {
    return this.config.customText ? [] : ['text'];
  }

  override dispose(): void {
    dropPrograms(this);
    super.dispose();
  }

  /** Features of normalised pixels: [B, 3, S, S] → [B, embedDim]. */
  encodeImage(pixels: Tensor, options: ImageFeatureOptions = {}): Tensor {
    const { normalize: unit = false, ...encoding } = options;
    const { pooled } = this.visual.encode(pixels, encoding);
    return unit ? normalize(pooled) : pooled;
  }

  /** Features of token ids: int64 [B, L] → [B, embedDim]. */
  encodeText(ids: Tensor, options: FeatureOptions = {}): Tensor {
    const { pooled } = this.text.encode(ids, { generator: options.generator });
    return options.normalize === true ? normalize(pooled) : pooled;
  }
}

/** A CLIP model of the given configuration, with weights initialised as in OpenCLIP. */
export function createModel(config: ModelConfig, options: CreateModelOptions): Clip {
  return new Clip(config, options);
}
