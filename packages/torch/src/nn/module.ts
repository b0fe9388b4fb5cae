import { noGrad } from '../autograd.js';
import type { Device } from '../device.js';
import { isFloating, type FloatDType } from '../dtype.js';
import { TorchError } from '../errors.js';
import { copy_ } from '../ops/in-place.js';
import { snakeCase } from '../snake-case.js';
import type { Tensor } from '../tensor.js';
import { Int8Weight } from './inference-weights.js';
import { PackedWeight } from './inference-weights.js';
import { converted, Parameter, TensorBuffer } from './parameter.js';
import { matchNames, type NamePattern } from './pattern.js';

/** Member of a {@link Module}. */
export type ModuleMember = Parameter | TensorBuffer | Module;

/** What {@link Module.to} makes of a module; what is left out stays. */
export interface ModuleTarget {
  readonly dtype?: FloatDType;
  readonly device?: Device;
}

/** Differences that {@link Module.loadStateDict} found. */
export interface StateDictDifference {
  /** Names of the module that the state dict lacks. */
  missing: string[];
  /** Names of the state dict that the module lacks. */
  unexpected: string[];
}

function join(prefix: string, name: string): string {
  return prefix === '' || name === '' ? prefix + name : `${prefix}.${name}`;
}

/** `2 missing (a, b)`; nothing where the list is empty. */
function listing(items: readonly string[], what: string): string[] {
  if (items.length === 0) return [];
  const shown = items.slice(0, 4).join(', ') + (items.length > 4 ? ', …' : '');
  return [`${items.length} ${what} (${shown})`];
}

function int8IsForInference(name: string): TorchError {
  return new TorchError(
    `'${name}' is in int8, which is made for inference and neither saved nor copied; load the model once more without int8.`,
  );
}

function packedIsForInference(name: string): TorchError {
  return new TorchError(
    `'${name}' is packed, which is made for inference and neither saved nor copied; load the model once more with loadModel.`,
  );
}

/** @throws TorchError for a weight in a form that is for inference only. */
function requireSavable(name: string, tensor: Tensor): void {
  if (tensor instanceof Int8Weight) throw int8IsForInference(name);
  if (tensor instanceof PackedWeight) throw packedIsForInference(name);
}

function isMember(value: unknown): value is ModuleMember {
  return value instanceof Parameter || value instanceof TensorBuffer || value instanceof Module;
}

/**
 * A part of a model: its parameters, buffers and child modules are its own fields.
 *
 * Names in a state dict follow from the fields: camelCase becomes snake_case, children are joined by
 * dots, and the items of an array have their position as name (`resblocks.0.attn.in_proj_weight`).
 */
export abstract class Module {
  /** Training mode, on which batch normalisation and dropout depend. */
  training = true;

  /** Fields whose children and parameters are named as if they were this module's own. */
  protected get hoisted(): readonly string[] {
    return [];
  }

  /** Own members with their names, and where in the object they stand. */
  #members(): {
    name: string;
    hoisted: boolean;
    member: ModuleMember;
    set: (value: ModuleMember) => void;
  }[] {
    const holders = Object.entries(this) as [string, unknown][];
    return holders.flatMap(([field, value]) => {
      const hoisted = this.hoisted.includes(field);
      const name = snakeCase(field);
      if (isMember(value)) {
        const set = (next: ModuleMember): void => {
          Object.assign(this, { [field]: next });
        };
        return [{ name, hoisted, member: value, set }];
      }
      if (!Array.isArray(value)) return [];
      const items = value as unknown[];
      return items.flatMap((member, index) => {
        const set = (next: ModuleMember): void => {
          items[index] = next;
        };
        return isMember(member) ? [{ name: `${name}.${index}`, hoisted, member, set }] : [];
      });
    });
  }

  *#tensors(prefix = ''): Iterable<[string, Parameter | TensorBuffer]> {
    for (const { name, hoisted, member } of this.#members()) {
      const path = hoisted ? prefix : join(prefix, name);
      if (member instanceof Module) yield* member.#tensors(path);
      else yield [path, member];
    }
  }

  *#modules(prefix = ''): Iterable<[string, Module]> {
    yield [prefix, this];
    for (const { name, member } of this.#members()) {
      if (member instanceof Module) yield* member.#modules(join(prefix, name));
    }
  }

  /** Its own parameters, buffers and children by name, without what these hold. */
  ownMembers(): Map<string, ModuleMember> {
    return new Map(this.#members().map(({ name, member }) => [name, member]));
  }

  /** The parameters by name; one that occurs several times is listed once. */
  namedParameters(): Map<string, Parameter> {
    const seen = new Set<Parameter>();
    const named = new Map<string, Parameter>();
    for (const [name, tensor] of this.#tensors()) {
      if (!(tensor instanceof Parameter) || seen.has(tensor)) continue;
      seen.add(tensor);
      named.set(name, tensor);
    }
    return named;
  }

  /** The parameters. */
  parameters(): Parameter[] {
    return [...this.namedParameters().values()];
  }

  /** The buffers by name. */
  namedBuffers(): Map<string, TensorBuffer> {
    const named = new Map<string, TensorBuffer>();
    for (const [name, tensor] of this.#tensors()) {
      if (tensor instanceof TensorBuffer) named.set(name, tensor);
    }
    return named;
  }

  /** This module (under the empty name) and all below; hoisted ones keep their field's name here. */
  namedModules(): Map<string, Module> {
    return new Map(this.#modules());
  }

  /**
   * The parameters and persistent buffers by name: the tensors themselves, not copies.
   *
   * @throws TorchError for weights in int8 or packed ones, which are for inference only.
   */
  stateDict(): Map<string, Tensor> {
    const state = new Map<string, Tensor>();
    for (const [name, tensor] of this.#tensors()) {
      requireSavable(name, tensor);
      if (tensor instanceof TensorBuffer && !tensor.persistent) continue;
      if (state.has(name)) throw new TorchError(`Two tensors of a module are named '${name}'.`);
      state.set(name, tensor);
    }
    return state;
  }

  /**
   * The state dict of the module's shorter form, which computes the same in evaluation: branches and
   * batch norms merged into convolutions. Modules that have one override this; others stay
   * unchanged, with the shorter forms of their children. New tensors carry no gradients.
   */
  fusedStateDict(): Map<string, Tensor> {
    const state = new Map<string, Tensor>();
    for (const { name, hoisted, member } of this.#members()) {
      const path = hoisted ? '' : name;
      if (member instanceof Module) {
        for (const [inner, tensor] of member.fusedStateDict()) state.set(join(path, inner), tensor);
      } else {
        requireSavable(path, member);
        if (member instanceof Parameter || member.persistent) state.set(path, member);
      }
    }
    return state;
  }

  /**
   * Copies tensors into the parameters and buffers of their names, converted to their types.
   * Nothing is changed when it throws.
   *
   * @throws TorchError when names are missing or left over (unless `strict` is false), or a shape
   * differs; it lists the first of each.
   */
  loadStateDict(
    source: ReadonlyMap<string, Tensor>,
    { strict = true }: { strict?: boolean } = {},
  ): StateDictDifference {
    const own = this.stateDict();
    const missing = [...own.keys()].filter((name) => !source.has(name));
    const unexpected = [...source.keys()].filter((name) => !own.has(name));
    const pairs = [...own].flatMap(([name, target]) => {
      const given = source.get(name);
      return given === undefined ? [] : [{ name, target, given }];
    });
    const misshapen = pairs
      .filter(({ target, given }) => target.shape.join() !== given.shape.join())
      .map(
        ({ name, target, given }) =>
          `${name}: [${given.shape.join(', ')}] given, [${target.shape.join(', ')}] needed`,
      );
    const problems = [
      ...listing(strict ? missing : [], 'missing'),
      ...listing(strict ? unexpected : [], 'unexpected'),
      ...listing(misshapen, 'of another shape'),
    ];
    if (problems.length > 0) {
      throw new TorchError(
        `The weights do not fit ${this.constructor.name}: ${problems.join('; ')}; give the weights of this architecture${misshapen.length > 0 ? '' : ', or load with strict: false'}.`,
      );
    }
    noGrad(() => {
      for (const { target, given } of pairs) copy_(target, given);
    });
    return { missing, unexpected };
  }

  /**
   * Converts the floating-point parameters and buffers, and moves all of them to a device; the fields then
   * hold new objects, one that occurs several times the same.
   *
   * @throws TorchError for weights in int8 or packed ones, which are for the CPU.
   */
  to(target: FloatDType | ModuleTarget): this {
    this.#convert(typeof target === 'string' ? { dtype: target } : target, new Map());
    return this;
  }

  #convert({ dtype, device }: ModuleTarget, done: Map<ModuleMember, ModuleMember>): void {
    for (const { name, member, set } of this.#members()) {
      if (member instanceof Module) {
        member.#convert({ ...(dtype && { dtype }), ...(device && { device }) }, done);
        continue;
      }
      const known = done.get(member);
      if (known !== undefined) {
        set(known);
        continue;
      }
      const type = dtype !== undefined && isFloating(member.dtype) ? dtype : member.dtype;
      if (type === member.dtype && device === undefined) continue;
      if (device !== undefined) requireSavable(name, member);
      const next = converted(member, { dtype: type, ...(device && { device }) });
      done.set(member, next);
      set(next);
    }
  }

  /** True if it has parameters and all of them are frozen. */
  get isFrozen(): boolean {
    const parameters = this.parameters();
    return parameters.length > 0 && parameters.every(({ requiresGrad }) => !requiresGrad);
  }

  /**
   * Sets {@link training} here and in all modules below. Modules that are frozen as a whole, and
   * all below them, stay in evaluation mode: their batch norms keep their statistics.
   */
  train(mode = true): this {
    this.training = mode && !this.isFrozen;
    for (const { member } of this.#members()) {
      if (member instanceof Module) member.train(this.training);
    }
    return this;
  }

  /** {@link train}(false) */
  eval(): this {
    return this.train(false);
  }

  #setRequiresGrad(patterns: readonly NamePattern[], requiresGrad: boolean): string[] {
    const named = this.namedParameters();
    const names = [...matchNames(patterns, named.keys())];
    for (const name of names) {
      const parameter = named.get(name);
      if (parameter !== undefined) parameter.requiresGrad = requiresGrad;
    }
    return names;
  }

  /**
   * Stops gradients for the parameters whose names match; returns the names. Modules that are then
   * frozen as a whole go into evaluation mode, and {@link train} leaves them there.
   *
   * @throws TorchError when a pattern matches nothing; it names the nearest name.
   */
  freeze(patterns: readonly NamePattern[]): string[] {
    const names = this.#setRequiresGrad(patterns, false);
    for (const [, module] of this.#modules()) if (module.isFrozen) module.eval();
    return names;
  }

  /** Takes {@link freeze} back; {@link train} then puts the modules into training mode again. */
  unfreeze(patterns: readonly NamePattern[]): string[] {
    return this.#setRequiresGrad(patterns, true);
  }

  /** Forgets all gradients. */
  zeroGrad(): void {
    for (const parameter of this.parameters()) parameter.grad = null;
  }

  /** Frees all parameters and buffers. */
  dispose(): void {
    for (const [, tensor] of this.#tensors()) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
