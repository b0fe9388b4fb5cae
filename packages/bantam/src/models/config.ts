import {
  count,
  type Fields,
  finite,
  flag,
  isObject,
  optional,
  readFields,
  section,
} from '../base/fields.js';
import { imageTowerKind, type TextConfig, textTowerKind, type VisionConfig } from './towers.js';
import {
  checkDecoder,
  type DecoderConfig,
  decoderFields,
} from './towers/decoder/multimodal-decoder.js';

/**
 * All that defines a CLIP model but its weights; it is plain JSON. Where OpenCLIP has a member, it
 * is that of its `model_cfg` in camelCase.
 */
export interface ModelConfig {
  /** Length of the features of both towers. */
  readonly embedDim: number;
  /** x·σ(1.702x) in place of GELU in both towers, as OpenAI's models have it. */
  readonly quickGelu: boolean;
  /** Text parameters under `text.` in checkpoints; without it they are at the top. */
  readonly customText: boolean;
  /** First value of the logit scale's logarithm. */
  readonly initLogitScale: number;
  /** First value of the logits' bias, which the pairwise sigmoid loss needs; null: none. */
  readonly initLogitBias: number | null;
  readonly vision: VisionConfig;
  readonly text: TextConfig;
  /** What writes captions (CoCa, Yu et al. 2022); null: nothing. */
  readonly decoder: DecoderConfig | null;
}

/** The members of {@link ModelConfig} that are no part of the model of their own. */
type TopConfig = Omit<ModelConfig, 'vision' | 'text' | 'decoder'>;

/** A configuration with only what differs from the defaults. */
export type ModelConfigInput = Partial<TopConfig> & {
  readonly vision?: Partial<VisionConfig>;
  readonly text?: Partial<TextConfig>;
  readonly decoder?: Partial<DecoderConfig> | null;
};

/** Members of {@link ModelConfig} beside its towers and decoder, with OpenCLIP's defaults. */
export const topFields: Fields<TopConfig> = {
  embedDim: count(),
  quickGelu: flag(false),
  customText: flag(false),
  initLogitScale: finite(Math.log(1 / 0.07)),
  initLogitBias: optional(finite(0)),
};

/**
 * Reads a model configuration from JSON. Absent members have OpenCLIP's defaults; `embedDim` must
 * be given.
 *
 * @throws BantamError naming an unknown member and the nearest known one, a value that is not
 * accepted, or sizes that do not fit together.
 */
export function parseModelConfig(value: unknown): ModelConfig {
  const where = 'The model configuration';
  const towers = {
    vision: { wanted: 'an object', accepts: isObject, fallback: {} },
    text: { wanted: 'an object', accepts: isObject, fallback: {} },
  };
  const decoder = optional(section(decoderFields));
  const top = readFields<Omit<ModelConfig, 'vision' | 'text'> & { vision: object; text: object }>(
    value,
    { ...topFields, ...towers, decoder },
    where,
  );
  const config: ModelConfig = {
    ...top,
    vision: readTower(top.vision, imageTowerKind, `${where}'s "vision"`),
    text: readTower(top.text, textTowerKind, `${where}'s "text"`),
  };
  imageTowerKind(config.vision).check(config.vision, config);
  textTowerKind(config.text).check(config.text, config);
  checkDecoder(config);
  return config;
}

function readTower<Config extends VisionConfig | TextConfig>(
  value: object & { type?: unknown },
  kindOf: (config: { type: unknown }) => { type: string; fields: Fields<Omit<Config, 'type'>> },
  where: string,
): Config {
  const { type, ...members } = value;
  const kind = kindOf({ type });
  return { type: kind.type, ...readFields(members, kind.fields, where) } as Config;
}

/**
 * The configuration with other values in place of some of its own. A tower of another `type`
 * replaces the whole tower.
 */
export function withChanges(config: ModelConfig, changes: ModelConfigInput): ModelConfig {
  return parseModelConfig({
    ...config,
    ...changes,
    vision: merged(config.vision, changes.vision),
    text: merged(config.text, changes.text),
    decoder:
      changes.decoder === null
        ? null
        : (changes.decoder ?? config.decoder) && { ...config.decoder, ...changes.decoder },
  });
}

function merged(tower: { type: string }, changes: { type?: string } = {}): object {
  const { type = tower.type } = changes;
  return type === tower.type ? { ...tower, ...changes } : changes;
}
