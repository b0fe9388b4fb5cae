import * as v from 'valibot';
import { anyObject, count, finite, flag, group, read, setting } from '../base/schema.js';
import {
  checkDecoder,
  decoderSchema,
  type DecoderConfig,
} from './towers/decoder/multimodal-decoder.js';
import {
  imageTowerKind,
  textSchema,
  textTowerKind,
  visionSchema,
  type TextConfig,
  type VisionConfig,
} from './towers.js';

/** Settings of a model beside its towers and decoder, with OpenCLIP's names and defaults. */
export const topEntries = {
  embedDim: v.pipe(count(), v.description('Length of the features of both towers.')),
  quickGelu: setting(
    flag(),
    false,
    "x·σ(1.702x) in place of GELU in both towers, as in OpenAI's models.",
  ),
  customText: setting(
    flag(),
    false,
    'Text parameters are under `text.` in checkpoints, not at the top.',
  ),
  initLogitScale: setting(
    finite(),
    Math.log(1 / 0.07),
    'Initial logarithm of the logit scale (inverse temperature).',
  ),
  initLogitBias: setting(
    v.nullable(finite()),
    null,
    'Initial bias of the logits, which the pairwise sigmoid loss needs; null: no bias.',
  ),
};

/** All settings of a model; `vision` and `text` are unions by `type`. */
export const modelSchema = group({
  ...topEntries,
  vision: setting(visionSchema, {}, 'Image tower.'),
  text: setting(textSchema, {}, 'Text tower.'),
  decoder: setting(
    v.nullable(decoderSchema),
    null,
    'Decoder that writes captions (CoCa, Yu et al. 2022); null: none.',
  ),
});

/** A tower before its type is known. */
const part = v.optional(anyObject(), {});

type Output = v.InferOutput<typeof modelSchema>;
type Input = v.InferInput<typeof modelSchema>;

/**
 * All that defines a CLIP model but its weights; it is plain JSON. Settings that OpenCLIP has, too,
 * are those of its `model_cfg` in camelCase. Descriptions: {@link modelSchema}.
 */
export interface ModelConfig extends Readonly<Omit<Output, 'vision' | 'text' | 'decoder'>> {
  readonly vision: VisionConfig;
  readonly text: TextConfig;
  readonly decoder: DecoderConfig | null;
}

/** Some settings of each member of a union. */
type Changes<T> = T extends unknown ? Readonly<Partial<T>> : never;

/** Settings of a model that differ from others: a preset's, or the defaults. */
export interface ModelConfigInput extends Readonly<
  Partial<Omit<Input, 'vision' | 'text' | 'decoder'>>
> {
  readonly vision?: Changes<NonNullable<Input['vision']>>;
  readonly text?: Changes<NonNullable<Input['text']>>;
  readonly decoder?: Changes<NonNullable<Input['decoder']>> | null;
}

/**
 * Reads a model configuration from JSON. Absent settings have OpenCLIP's defaults; `embedDim` must
 * be given.
 *
 * @throws BantamError naming an unknown setting and the nearest known one, a value that is not
 * accepted, or sizes that do not fit together.
 */
export function parseModelConfig(value: unknown): ModelConfig {
  const where = 'the model configuration';
  const { vision, text } = read(anyObject(), value, { where });
  // valibot's objects accept lists, and its unions do not suggest the nearest type.
  imageTowerKind(read(part, vision, { where: `"vision" of ${where}` }));
  textTowerKind(read(part, text, { where: `"text" of ${where}` }));
  const config: ModelConfig = read(modelSchema, value, { where });
  imageTowerKind(config.vision).check(config.vision, config);
  textTowerKind(config.text).check(config.text, config);
  checkDecoder(config);
  return config;
}

/**
 * The configuration with some settings changed. A tower of another `type` replaces the whole tower.
 *
 * @throws BantamError as {@link parseModelConfig} does.
 */
export function withChanges(config: ModelConfig, changes: ModelConfigInput): ModelConfig {
  const { vision, text, decoder = config.decoder } = changes;
  return parseModelConfig({
    ...config,
    ...changes,
    vision: merged(config.vision, vision),
    text: merged(config.text, text),
    decoder: decoder && { ...config.decoder, ...decoder },
  });
}

function merged(tower: { type: string }, changes: { type?: string | undefined } = {}): object {
  const { type = tower.type } = changes;
  return type === tower.type ? { ...tower, ...changes } : changes;
}
