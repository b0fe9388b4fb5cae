import {
  at,
  BatchNorm2d,
  Conv2d,
  Linear,
  Module,
  noGrad,
  Parameter,
  scope,
  Tensor,
  type ModuleMember,
} from '@bantam/torch';
import { BantamError } from '../../base/errors.js';
import { SasPBlock } from '../blocks/sas-p.js';
import { blockOfLayers } from '../blocks/transformer-config.js';
import { Transformer } from '../blocks/transformer.js';
import type { Clip } from '../clip.js';
import { resizePositions } from '../positions.js';
import { imageTowerKind, textTowerKind } from '../towers.js';
import { decoderLayers } from '../towers/decoder/multimodal-decoder.js';
import {
  describeSlice,
  fixedDimensions,
  sliceOf,
  stackedParts,
  takeSlice,
  unsliceable,
  type Slice,
} from './inherit-slice.js';

/**
 * Which weights a student takes. `module`: those of the modules that it has in common with its
 * teacher (SiCLIP, Liu 2024); `tinyclip`: of layers at intervals, and of these the leading widths
 * (TinyCLIP, Wu et al. 2023, section 3.3, manual inheritance).
 */
export type InheritMethod = 'module' | 'tinyclip';

/** Options of {@link inheritWeights}. */
export interface InheritOptions {
  method: InheritMethod;
}

/** Origin of a parameter of the student. */
export interface InheritedParameter {
  readonly name: string;
  /** Number of elements. */
  readonly size: number;
  readonly start: 'inherited' | 'sliced' | 'fresh';
  /** The teacher's parameter; null: none. */
  readonly from: string | null;
  /** The slice taken of it, such as `[:192, :192]`; null: all. */
  readonly slice: string | null;
}

/** The teacher's layers that a student's layers come from, in order. */
export interface InheritedLayers {
  /** Name of the layers: `visual.transformer.resblocks`. */
  readonly name: string;
  readonly from: readonly number[];
  /** How many layers the teacher has. */
  readonly of: number;
}

/** Result of {@link inheritWeights}. */
export interface Inheritance {
  readonly method: InheritMethod;
  /** All parameters of the student. */
  readonly parameters: readonly InheritedParameter[];
  /** The teacher's layers that were taken, for stacks that took only some. */
  readonly layers: readonly InheritedLayers[];
}

/**
 * Initialises a student of another configuration with those of a teacher's weights and batch-norm
 * statistics that fit; the others stay unchanged in the student. The two share no memory afterwards.
 *
 * - `module`: a module that both have under the same name, of one class, with equal settings and
 *   shapes, takes the teacher's weights. A block that several layers of the student share takes none.
 * - `tinyclip`: where the teacher has D_t layers and the student D_s, layer i starts from layer
 *   i·⌊D_t/D_s⌋ of the teacher, and every tensor from the leading slice in each dimension; of q, k
 *   and v these are whole heads. Heads of another width, kernels, vocabularies and layers across
 *   patches do not fit.
 *
 * Learned positions are interpolated where the image size or the context differs, by both methods.
 * The temperature is the teacher's too, unless the student has a bias of the logits and the teacher
 * none.
 *
 * @throws BantamError if nothing fits; nothing is changed then.
 */
export function inheritWeights(from: Clip, into: Clip, { method }: InheritOptions): Inheritance {
  return noGrad(() =>
    scope(() => {
      const pairing = new Pairing(from, into, method);
      const names = new Map([...from.stateDict()].map(([name, tensor]) => [tensor, name]));
      const resized = resizePositions(from.stateDict(), { from: from.config, to: into.config });
      const sized = (tensor: Tensor) => {
        const name = names.get(tensor);
        return (name === undefined ? undefined : resized.get(name)) ?? tensor;
      };
      const own = into.stateDict();
      const taken = pairing.pairAll(sized);
      const parameters = [...into.namedParameters()].map(([name, parameter]) => {
        const found = taken.get(parameter);
        const { size } = parameter;
        if (found === undefined) {
          return { name, size, start: 'fresh', from: null, slice: null } as const;
        }
        const { slice, tensor } = found;
        return {
          name,
          size,
          start: slice === null ? 'inherited' : 'sliced',
          from: names.get(tensor) ?? null,
          slice: slice && describeSlice(slice),
        } as const;
      });
      requireSome(parameters);
      const weights = [...own].flatMap(([name, tensor]): [string, Tensor][] => {
        const found = taken.get(tensor);
        if (found === undefined) return [];
        const whole = sized(found.tensor);
        return [[name, found.slice === null ? whole : takeSlice(whole, found.slice)]];
      });
      into.loadStateDict(new Map(weights), { strict: false });
      return { method, parameters, layers: pairing.layers };
    }),
  );
}

/** True if a parameter is outside of the towers: the temperature, or the bias of the logits. */
export function isOfLogits(name: string): boolean {
  return name === 'logit_scale' || name === 'logit_bias';
}

function requireSome(parameters: readonly InheritedParameter[]): void {
  if (parameters.some(({ name, start }) => start !== 'fresh' && !isOfLogits(name))) return;
  throw new BantamError(
    'Nothing of the teacher fits the student, all of it would start fresh; choose a student of the same kind of tower, or train it from scratch.',
  );
}

/** A teacher's tensor for one of the student's, whole or in part. */
interface Taken {
  readonly tensor: Tensor;
  readonly slice: Slice | null;
}

/** Location of a pair of modules with the same name. */
interface Location {
  /** {@link TowerKind.blocks} of the tower. */
  readonly blocks: RegExp;
  /** The tower's prefix in names of the model: `visual.`. */
  readonly prefix: string;
  /** Within the tower, with a dot at the end. */
  readonly path: string;
  /** Matrices in the tensors of the module, see {@link stackedParts}. */
  readonly parts: number;
}

/** Finds for each tensor of a student its teacher's. */
class Pairing {
  readonly layers: InheritedLayers[] = [];
  readonly #taken = new Map<Tensor, Taken>();
  readonly #uses: ReadonlyMap<Module, string>;
  #sized: (tensor: Tensor) => Tensor = (tensor) => tensor;

  constructor(
    readonly from: Clip,
    readonly into: Clip,
    readonly method: InheritMethod,
  ) {
    this.#uses = new Map([...usesOf(from), ...usesOf(into)]);
  }

  /** @param sized - A teacher's tensor with positions for the student */
  pairAll(sized: (tensor: Tensor) => Tensor): ReadonlyMap<Tensor, Taken> {
    const { from, into } = this;
    const { customText, text, vision } = into.config;
    this.#sized = sized;
    const root = { path: '', parts: 1 };
    const { blocks } = imageTowerKind(vision);
    this.#pair(into.visual, from.visual, { ...root, blocks, prefix: 'visual.' });
    this.#pair(into.text, from.text, {
      ...root,
      blocks: textTowerKind(text).blocks,
      prefix: customText ? 'text.' : '',
    });
    if (into.textDecoder !== null && from.textDecoder !== null) {
      const decoder = { ...root, blocks: decoderLayers, prefix: 'text_decoder.' };
      this.#pair(into.textDecoder, from.textDecoder, decoder);
    }
    // Scale and bias belong together: with a new bias, both keep the configuration's initial values.
    if (into.logitBias === null || from.logitBias !== null) {
      this.#taken.set(into.logitScale, { tensor: from.logitScale, slice: null });
    }
    if (into.logitBias !== null && from.logitBias !== null) {
      this.#taken.set(into.logitBias, { tensor: from.logitBias, slice: null });
    }
    return this.#taken;
  }

  #pair(own: Module, other: Module, location: Location): void {
    const members = own.ownMembers();
    const others = other.ownMembers();
    const inheritable = [...members].filter(([, member]) => hasWeights(own, member));
    const fitting = inheritable.flatMap(([name, tensor]): [Tensor, Taken][] => {
      const source = others.get(name);
      if (!(tensor instanceof Tensor) || !(source instanceof Tensor)) return [];
      const slice = this.#fit(own, { name, tensor, source }, location);
      return slice === undefined ? [] : [[tensor, { tensor: source, slice }]];
    });
    const children = [...members].filter(([, member]) => member instanceof Module);
    // A layer, such as a matrix and its bias, is inherited completely or not at all.
    if (children.length > 0 || fitting.length === inheritable.length) {
      for (const [tensor, taken] of fitting) this.#taken.set(tensor, taken);
    }
    for (const [name, child] of children) {
      const source = others.get(this.#counterpart(name, { members, others }, location));
      if (!(child instanceof Module && source instanceof Module)) continue;
      if (!this.#isSame(child, source)) continue;
      const parts = stackedParts(own, name);
      this.#pair(child, source, { ...location, path: `${location.path}${name}.`, parts });
    }
  }

  /** The slice that fits; null: all of the tensor does; undefined: nothing. */
  #fit(
    owner: Module,
    { name, tensor, source }: { name: string; tensor: Tensor; source: Tensor },
    { path, parts }: Location,
  ): Slice | null | undefined {
    const { shape } = this.#sized(source);
    if (shape.join() === tensor.shape.join()) return null;
    if (this.method === 'module' || unsliceable.test(`${path}${name}.`)) return undefined;
    const fixed = fixedDimensions(owner, name, tensor);
    const inside = Math.max(parts, stackedParts(owner, name));
    return sliceOf(tensor.shape, shape, { parts: inside, fixed }) ?? undefined;
  }

  /** The name of the teacher's module that the student's module `name` starts from. */
  #counterpart(
    name: string,
    { members, others }: Record<'members' | 'others', ReadonlyMap<string, ModuleMember>>,
    { blocks, prefix, path }: Location,
  ): string {
    const [, list, position] = /^(.+)\.(\d+)$/.exec(name) ?? [];
    if (this.method === 'module' || list === undefined) return name;
    const full = `${path}${name}.`;
    if (blocks.exec(full)?.[0] !== full) return name;
    const count = (all: ReadonlyMap<string, unknown>) =>
      [...all.keys()].filter((key) => key.startsWith(`${list}.`)).length;
    const [depth, depthOfTeacher] = [count(members), count(others)];
    const step = Math.max(1, Math.floor(depthOfTeacher / depth));
    if (position === '0' && depth < depthOfTeacher) {
      const from = Array.from({ length: depth }, (_, i) => i * step);
      this.layers.push({ name: `${prefix}${path}${list}`, from, of: depthOfTeacher });
    }
    return `${list}.${Number(position) * step}`;
  }

  /** True if two modules differ in nothing but weights and, for slices, sizes. */
  #isSame(own: Module, other: Module): boolean {
    if (own.constructor !== other.constructor) return false;
    if (this.method === 'module' && this.#uses.get(own) !== this.#uses.get(other)) return false;
    const settings = (module: Module) => JSON.stringify(settingsOf(module, this.method));
    return settings(own) === settings(other);
  }
}

/** Parameters and batch-norm statistics; other buffers follow from the configuration. */
function hasWeights(owner: Module, member: ModuleMember): boolean {
  if (member instanceof Module) return false;
  return member instanceof Parameter || owner instanceof BatchNorm2d;
}

/** Settings in a module's public fields: heads, strides, activations, epsilons. */
function settingsOf(module: Module, method: InheritMethod): [string, unknown][] {
  const fields = (Object.entries(module) as [string, unknown][]).filter(([name, value]) => {
    if (name === 'training' || name === 'config') return false;
    return (
      ['number', 'string', 'boolean'].includes(typeof value) ||
      (Array.isArray(value) && value.every((item) => typeof item === 'number'))
    );
  });
  if (method === 'module') return fields;
  const sizes = ['heads', 'width', 'groups'];
  return [...fields.filter(([name]) => !sizes.includes(name)), ...proportions(module)];
}

/** Settings that do not depend on the width: the width of a head or a group. */
function proportions(module: Module): [string, unknown][] {
  if (module instanceof Conv2d) {
    return [['perGroup', module.groups === 1 ? 'all' : module.weight.dim(0) / module.groups]];
  }
  const members = module.ownMembers();
  const projections = ['in_proj_bias', 'qkv', 'q_proj', 'q'];
  const found = projections.map((name) => members.get(name)).find((it) => it !== undefined);
  if (!('heads' in module) || typeof module.heads !== 'number') return [];
  if (!(found instanceof Tensor || found instanceof Linear)) return [];
  const { shape } = found instanceof Tensor ? found : found.weight;
  return [['perHead', at(shape, 0) / module.heads]];
}

/** The layers that each module serves, for modules that several layers may share. */
function usesOf(model: Clip): Map<Module, string> {
  const uses = new Map<Module, string>();
  const note = (module: Module, layer: string) => {
    uses.set(module, [uses.get(module), layer].join(' '));
  };
  for (const [path, module] of model.namedModules()) {
    if (module instanceof SasPBlock) note(module.attention, path);
    if (!(module instanceof Transformer)) continue;
    for (const [layer, block] of blockOfLayers(module.config).entries()) {
      note(at(module.resblocks, block), String(layer));
    }
  }
  return uses;
}
