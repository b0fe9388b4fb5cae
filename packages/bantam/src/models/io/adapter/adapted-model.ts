/** Directories of adapters: a base model that they name, changed by LoRA, in PEFT's layout. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { isAbsolute, join, relative, resolve } from 'node:path';
import { noGrad, saveSafetensors, scope } from '@bantam/torch';
import { BantamError } from '../../../base/errors.js';
import { isObject } from '../../../base/schema.js';
import type { Clip } from '../../clip.js';
import { isModelPath } from '../../hub/locate.js';
import { findPretrained } from '../../hub/pretrained.js';
import type { HubOptions } from '../../hub/settings.js';
import { resizePositions } from '../../positions.js';
import { loraChanges, type LoraSettings } from '../../surgery/lora.js';
import { writeFolder, writeJson } from '../files.js';
import {
  unchanged,
  type OpenedModel,
  type SaveModelOptions,
  type Weights,
} from '../formats/format.js';
import { openClipFormat, writeDescription } from '../formats/open-clip.js';
import { openWeights } from '../tensor-files.js';
import { underOwnNames } from '../weights.js';
import { weightsDigest } from '../weights-digest.js';
import {
  ADAPTER_CONFIG,
  adapterConfig,
  readAdapterConfig,
  type AdapterConfig,
} from './adapter-config.js';
import { moduleChanges, namesAll, peftTensors, withChanges } from './adapter-weights.js';

const WEIGHTS = 'adapter_model.safetensors';
const names = [WEIGHTS, 'adapter_model.bin'];

/** True if a folder holds an adapter. */
export async function isAdapter(directory: string): Promise<boolean> {
  const files = await readdir(directory);
  return files.includes(ADAPTER_CONFIG) && !files.includes('open_clip_model.safetensors');
}

/**
 * The name of the base model of an adapter.
 *
 * @param through - Folders of the adapters that lead to this one
 * @throws BantamError if its description cannot be read, names none, or leads back to one of them.
 */
export async function baseOfAdapter(
  directory: string,
  through: readonly string[] = [],
): Promise<string> {
  if (through.includes(resolve(directory))) {
    throw new BantamError(
      `The base model of the adapter ${directory} is that adapter itself; set "base_model_name_or_path" in its ${ADAPTER_CONFIG} to the model that it was trained on.`,
    );
  }
  return baseOf(directory, await readAdapterConfig(directory));
}

/**
 * Opens an adapter and the base model that it names: the base model's weights with the changes merged
 * in. Configuration, tokenizer and preprocessing are those beside the adapter if there are any, else
 * the base model's.
 *
 * @param openBase - Opens a model by its name
 * @throws BantamError if the adapter cannot be read, or its base model is missing or another one.
 */
export async function openAdapted(
  directory: string,
  openBase: (name: string) => Promise<OpenedModel>,
  hub: HubOptions,
): Promise<OpenedModel> {
  const config = await readAdapterConfig(directory);
  const files = await readdir(directory);
  const found = names.find((name) => files.includes(name));
  if (found === undefined) {
    throw new BantamError(`${directory} has no ${WEIGHTS}; fetch or save the whole adapter.`);
  }
  const file = join(directory, found);
  const name = baseOf(directory, config);
  const base = await openBase(name);
  const own = files.includes('open_clip_config.json')
    ? { ...(await openClipFormat.load(directory, file)), directory }
    : null;
  if (own !== null) await requireSameBase(own.info, { name, directory, hub });
  const described = own ?? base;
  return {
    ...described,
    weightsName: file,
    readWeights: (edit = unchanged) => {
      const changes = moduleChanges(openWeights([file]).read(), config, file);
      const state = { merged: false };
      const renamed = underOwnNames(
        base.readWeights((stored) => {
          // An adapter has the names that its trainer's library has: those of the files, or Bantam's.
          if (!namesAll(stored, changes)) return stored;
          state.merged = true;
          return withChanges(stored, changes, file);
        }),
        base.config,
      );
      const weights: Weights = state.merged ? renamed : withChanges(renamed, changes, file);
      return edit(resizePositions(weights, { from: base.config, to: described.config }));
    },
  };
}

/** The name of an adapter's base model, as the working directory has it. */
function baseOf(directory: string, { base, revision }: AdapterConfig): string {
  if (base === null) {
    throw new BantamError(
      `${join(directory, ADAPTER_CONFIG)} names no base model; set "base_model_name_or_path" there to the model that the adapter was trained on.`,
    );
  }
  const [path = base] = base.split('?model=');
  if (!isAbsolute(path) && existsSync(join(directory, path))) return join(directory, base);
  if (existsSync(path) || base.startsWith('hf:') || findPretrained(base) !== null) return base;
  const hub = base.replace(/^hf-hub:/, '');
  if (/^[\w-][\w.-]*\/[\w.-]+$/.test(hub)) {
    return `hf:${hub}${revision === null ? '' : `@${revision}`}`;
  }
  throw new BantamError(
    `The base model ${base} that ${join(directory, ADAPTER_CONFIG)} names does not exist; put it there, or set "base_model_name_or_path" to where it is.`,
  );
}

/** @throws BantamError if the base model is not the one that the adapter was trained on. */
async function requireSameBase(
  info: OpenedModel['info'],
  { name, directory, hub }: { name: string; directory: string; hub: HubOptions },
): Promise<void> {
  const digest = isObject(info.adapter) ? info.adapter.baseDigest : undefined;
  if (digest === undefined || digest === (await weightsDigest(name, hub))) return;
  throw new BantamError(
    `The base model ${name} has other weights than the one that the adapter ${directory} was trained on; restore them, or train the adapter anew.`,
  );
}

/** Options of {@link saveAdapter}. */
export interface SaveAdapterOptions extends SaveModelOptions {
  /** A model that {@link addLora} changed. */
  readonly model: Clip;
  /** Its tensors, such as a moving average; default: its own. */
  readonly state?: Weights;
  readonly settings: LoraSettings;
  /** Name of the model that it was before, by which it is found again. */
  readonly base: string;
}

/**
 * Writes the low-rank changes of a model as an adapter directory in PEFT's layout, with the name of its
 * base model (relative to the directory if it is a path) and a digest of that model's weights. It loads
 * wherever a model does. The directory appears whole or not at all.
 *
 * @throws BantamError if the folder holds other files or cannot be written.
 */
export async function saveAdapter(
  directory: string,
  { state, settings, base, info = {}, ...options }: SaveAdapterOptions,
): Promise<void> {
  const { model } = options;
  const baseDigest = await weightsDigest(base);
  const owns = (file: string): boolean =>
    file === ADAPTER_CONFIG || names.includes(file) || openClipFormat.owns(file);
  await writeFolder(directory, owns, async (draft) => {
    await writeDescription(draft, { ...options, info: { ...info, adapter: { baseDigest } } });
    const modules = scope(() => {
      const saved = noGrad(() => peftTensors(loraChanges(model), state ?? model.stateDict()));
      saveSafetensors(join(draft, WEIGHTS), saved.tensors, { metadata: { format: 'pt' } });
      return saved.modules;
    });
    await writeJson(
      join(draft, ADAPTER_CONFIG),
      adapterConfig({ settings, modules, base: referenceTo(base, directory) }),
    );
  });
}

/** A reference to a base model from a directory. */
function referenceTo(base: string, directory: string): Pick<AdapterConfig, 'base' | 'revision'> {
  const [, repository, revision = null] =
    /^hf:([\w.-]+\/[\w.-]+)(?:@([\w./-]+))?$/.exec(base) ?? [];
  if (repository !== undefined) return { base: repository, revision };
  const [path = base] = base.split('?model=');
  if (!isModelPath(path)) return { base, revision: null };
  const moved = relative(resolve(directory), resolve(path));
  return { base: `${moved}${base.slice(path.length)}`, revision: null };
}
