/** `adapter_config.json`, PEFT's description of an adapter. */
import { join } from 'node:path';
import { BantamError } from '../../../base/errors.js';
import { readJson } from '../../../base/json-file.js';
import { isObject } from '../../../base/schema.js';
import type { LoraSettings } from '../../surgery/lora.js';

/** Name of the description. */
export const ADAPTER_CONFIG = 'adapter_config.json';

/** The parts of a description that loading depends on. */
export interface AdapterConfig {
  /** The base model as PEFT or Bantam named it; null: it is not named. */
  readonly base: string | null;
  /** Revision of a base model of the Hub; null: none is named. */
  readonly revision: string | null;
  /** s of a module's change of rank r. */
  readonly scale: (module: string, rank: number) => number;
}

/** Initial values of A and B that leave the base model's weights unchanged. */
const plainInits: readonly unknown[] = [
  undefined,
  null,
  true,
  false,
  'gaussian',
  'eva',
  'orthogonal',
];

/** Settings that make an adapter compute something else than W + s·B·A, with the value that does not. */
const unsupported: Readonly<Record<string, readonly unknown[]>> = {
  use_dora: [undefined, null, false],
  use_qalora: [undefined, null, false],
  fan_in_fan_out: [undefined, null, false],
  lora_bias: [undefined, null, false],
  bias: [undefined, null, 'none'],
  modules_to_save: [undefined, null],
  layer_replication: [undefined, null],
  trainable_token_indices: [undefined, null],
  target_parameters: [undefined, null],
  alora_invocation_tokens: [undefined, null],
  use_bdlora: [undefined, null],
  arrow_config: [undefined, null],
  kasa_config: [undefined, null],
  velora_config: [undefined, null],
  monteclora_config: [undefined, null],
  init_lora_weights: plainInits,
};

/**
 * Reads the description of an adapter in a folder.
 *
 * @throws BantamError if it is of another kind than LoRA, or has a setting that Bantam lacks.
 */
export async function readAdapterConfig(directory: string): Promise<AdapterConfig> {
  const file = join(directory, ADAPTER_CONFIG);
  const found = await readJson(file, 'adapter');
  const config: Readonly<Record<string, unknown>> = isObject(found) ? found : {};
  const type = config.peft_type;
  if (type !== 'LORA') {
    throw new BantamError(
      `${file} describes an adapter of the kind ${JSON.stringify(type ?? null)}, of which Bantam reads "LORA" alone; merge it into its base model with PEFT, and name the result.`,
    );
  }
  for (const [name, accepted] of Object.entries(unsupported)) {
    const value = config[name];
    if (accepted.includes(value) || isEmpty(value)) continue;
    throw new BantamError(
      `${file} sets "${name}" to ${JSON.stringify(value)}, which Bantam cannot read; merge the adapter into its base model with PEFT, and name the result.`,
    );
  }
  const { r, lora_alpha: alpha = r, use_rslora: stabilized, alpha_pattern: patterns } = config;
  if (typeof alpha !== 'number') {
    throw new BantamError(`${file} has no number "lora_alpha"; save the adapter again with PEFT.`);
  }
  const alphas = Object.entries(isObject(patterns) ? patterns : {}).map(
    ([pattern, value]) => [namePattern(pattern, file), Number(value)] as const,
  );
  return {
    base: textOf(config.base_model_name_or_path),
    revision: textOf(config.revision),
    scale: (module, rank) => {
      const own = alphas.find(([pattern]) => pattern.test(module))?.[1] ?? alpha;
      return own / (stabilized === true ? Math.sqrt(rank) : rank);
    },
  };
}

function isEmpty(value: unknown): boolean {
  if (Array.isArray(value)) return value.length === 0;
  return isObject(value) && Object.keys(value).length === 0;
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

/** A key of `alpha_pattern`: a regular expression for the end of a module's name. */
function namePattern(pattern: string, file: string): RegExp {
  try {
    return new RegExp(`^(?:.*\\.)?(?:${pattern})$`, 'u');
  } catch {
    throw new BantamError(
      `"${pattern}" of "alpha_pattern" in ${file} is no regular expression; save the adapter again with PEFT.`,
    );
  }
}

/** Options of {@link adapterConfig}. */
export interface AdapterConfigOptions {
  readonly settings: LoraSettings;
  /** Names of the changed modules. */
  readonly modules: readonly string[];
  readonly base: Pick<AdapterConfig, 'base' | 'revision'>;
}

/** The description from which PEFT makes the adapter again. */
export function adapterConfig({ settings, modules, base }: AdapterConfigOptions): object {
  const escaped = modules.map((name) => name.replaceAll('.', '\\.'));
  return {
    peft_type: 'LORA',
    task_type: null,
    base_model_name_or_path: base.base,
    revision: base.revision,
    r: settings.rank,
    lora_alpha: settings.alpha,
    use_rslora: settings.rankStabilized,
    // PEFT refuses dropout for attentions, and an adapter that is loaded for use has none.
    lora_dropout: 0,
    // A list would match by the ends of names, and so the image tower's layers by the text tower's.
    target_modules: `(?:${escaped.join('|')})`,
    bias: 'none',
    fan_in_fan_out: false,
    init_lora_weights: true,
    inference_mode: true,
  };
}
