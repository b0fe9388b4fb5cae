import { full, Module, normalize, Parameter, type Generator, type Tensor } from '@bantam/torch';
import type { ModelConfig } from './config.js';
import { TextTransformer } from './text-transformer.js';
import { VisionTransformer } from './vision-transformer.js';

/** Options of {@link createModel}. */
export interface CreateModelOptions {
  /** Draws the initial weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** Options of {@link Clip.encodeText}. */
export interface EncodeTextOptions {
  /** Scale features to length 1. Default false. */
  normalize?: boolean;
}

/** Options of {@link Clip.encodeImage}. */
export interface EncodeImageOptions extends EncodeTextOptions {
  /** Draws the patches that are left out while training with `patchDropout`. */
  generator?: Generator | undefined;
}

/**
 * CLIP (Radford et al. 2021): an image tower and a text tower whose features can be compared, and
 * the temperature of the comparison. Parameters have OpenCLIP's names.
 */
export class Clip extends Module {
  visual: VisionTransformer;
  text: TextTransformer;
  /** ln of the factor by which cosines become logits. */
  logitScale: Parameter;
  readonly config: ModelConfig;

  constructor(config: ModelConfig, { generator }: CreateModelOptions) {
    super();
    const { embedDim, quickGelu, vision, text } = config;
    this.config = config;
    this.visual = new VisionTransformer({ config: vision, embedDim, quickGelu, generator });
    this.text = new TextTransformer({ config: text, embedDim, quickGelu, generator });
    this.logitScale = new Parameter(full([], config.initLogitScale));
  }

  /** OpenCLIP keeps a plain text tower's parameters at the top of the checkpoint. */
  protected override get hoisted(): readonly string[] {
    return this.config.customText ? [] : ['text'];
  }

  /** Features of normalised pixels: [B, 3, S, S] → [B, embedDim]. */
  encodeImage(pixels: Tensor, options: EncodeImageOptions = {}): Tensor {
    const { pooled } = this.visual.encode(pixels, { generator: options.generator });
    return options.normalize === true ? normalize(pooled) : pooled;
  }

  /** Features of token ids: int64 [B, L] → [B, embedDim]. */
  encodeText(ids: Tensor, options: EncodeTextOptions = {}): Tensor {
    const { pooled } = this.text.encode(ids);
    return options.normalize === true ? normalize(pooled) : pooled;
  }
}

/** A CLIP model of the given configuration, with weights drawn as OpenCLIP draws them. */
export function createModel(config: ModelConfig, options: CreateModelOptions): Clip {
  return new Clip(config, options);
}
