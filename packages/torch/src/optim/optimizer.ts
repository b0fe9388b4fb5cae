import { noGrad } from '../autograd.js';
import { TorchError } from '../errors.js';
import { Module } from '../nn/module.js';
import type { Parameter } from '../nn/parameter.js';
import { copy_ } from '../ops/in-place.js';
import { scope } from '../scope.js';
import { snakeCase } from '../snake-case.js';
import type { Tensor } from '../tensor.js';
import { parameterGroups, type ParameterGroup } from './groups.js';

/** Options of {@link Optimizer.step}. */
export interface StepOptions {
  readonly lr?: number;
  readonly foundInf?: Tensor | undefined;
}

/** Moves parameters along their gradients. */
export interface Optimizer extends Disposable {
  readonly groups: readonly ParameterGroup[];
  /** True if {@link Optimizer.step} takes `foundInf`. */
  readonly skipsOnDevice: boolean;
  /**
   * Moves the parameters by one step along their gradients; those without a gradient stay
   * unchanged. The learning rate may be given anew. With `foundInf`, a float32 scalar on the parameters'
   * device, the device itself decides: where it is 1 nothing changes, where it is 0 the step is taken.
   *
   * @throws TorchError for `foundInf` where it is not taken.
   */
  step(options?: StepOptions): void;
  /** Forgets the gradients of all parameters. */
  zeroGrad(): void;
  /**
   * Optimizer state by name (`<parameter>.exp_avg`, …): the tensors themselves. Before
   * the first step there are none.
   */
  state(): Map<string, Tensor>;
  /**
   * Continues from what {@link Optimizer.state} gave, bit for bit.
   *
   * @throws TorchError when it is the state of other parameters, or of another kind of optimiser.
   */
  loadState(state: ReadonlyMap<string, Tensor>): void;
}

/** A parameter that has a gradient, and what the optimiser keeps for it. */
export interface Work<State> {
  readonly parameter: Parameter;
  readonly gradient: Tensor;
  readonly state: State;
}

/** Options that all optimisers have, defaults filled in. */
interface SharedOptions {
  readonly lr: number;
  readonly weightDecay: number;
}

/** How one group is to be stepped. */
export interface GroupStep {
  /** The learning rate, without the group's factor. */
  readonly lr: number;
  readonly lrScale: number;
  readonly weightDecay: number;
  /** 1: leave everything unchanged; absent: take the step. */
  readonly foundInf?: Tensor | undefined;
}

/**
 * What optimisers share. `State` is what one keeps for a parameter: its fields are tensors that no
 * scope frees, saved under `<parameter>.<field>` in snake case.
 */
export abstract class GroupOptimizer<State extends object> implements Optimizer {
  readonly groups: readonly ParameterGroup[];
  readonly skipsOnDevice: boolean = false;
  readonly #options: SharedOptions;
  readonly #states = new Map<string, State>();

  /** Takes groups, or all parameters of a module that are not frozen. */
  constructor(source: Module | readonly ParameterGroup[], options: SharedOptions) {
    this.groups = source instanceof Module ? parameterGroups(source, []) : source;
    this.#options = options;
    const names = this.groups.flatMap(({ parameters }) => [...parameters.keys()]);
    const twice = names.find((name, index) => names.indexOf(name) !== index);
    if (twice !== undefined) {
      throw new TorchError(
        `The parameter '${twice}' is in two groups; let the groups not overlap.`,
      );
    }
    if (names.length === 0) {
      throw new TorchError('There is nothing to optimise: every parameter is frozen.');
    }
  }

  /** Optimizer state of a parameter before its first step. */
  protected abstract newState(parameter: Parameter): State;

  /** Moves the parameters of a group that have gradients, at least one. */
  protected abstract stepGroup(work: readonly Work<State>[], group: GroupStep): void;

  #stateOf(name: string, parameter: Parameter): State {
    let state = this.#states.get(name);
    if (state === undefined) {
      state = this.newState(parameter);
      this.#states.set(name, state);
    }
    return state;
  }

  step({ lr = this.#options.lr, foundInf }: StepOptions = {}): void {
    if (foundInf !== undefined && !this.skipsOnDevice) {
      throw new TorchError(
        'This optimiser cannot leave a step out on the device; read foundInf, and do not step.',
      );
    }
    scope(() => {
      noGrad(() => {
        for (const { parameters, weightDecay, lrScale } of this.groups) {
          const work = [...parameters].flatMap(([name, parameter]) => {
            const gradient = parameter.grad;
            return gradient === null
              ? []
              : [{ parameter, gradient, state: this.#stateOf(name, parameter) }];
          });
          if (work.length === 0) continue;
          const decay = weightDecay ?? this.#options.weightDecay;
          this.stepGroup(work, { lr, lrScale, weightDecay: decay, foundInf });
        }
      });
    });
  }

  zeroGrad(): void {
    for (const { parameters } of this.groups) {
      for (const parameter of parameters.values()) parameter.grad = null;
    }
  }

  state(): Map<string, Tensor> {
    return new Map([...this.#states].flatMap(([name, state]) => namedTensors(name, state)));
  }

  loadState(state: ReadonlyMap<string, Tensor>): void {
    const left = new Set(state.keys());
    const saved = new Set([...left].map((key) => key.slice(0, key.lastIndexOf('.'))));
    for (const [name, own] of this.#states) {
      if (saved.has(name)) continue;
      for (const [, tensor] of namedTensors(name, own)) tensor.dispose();
      this.#states.delete(name);
    }
    for (const { parameters } of this.groups) {
      for (const [name, parameter] of parameters) {
        if (!saved.has(name)) continue;
        for (const [key, own] of namedTensors(name, this.#stateOf(name, parameter))) {
          const given = state.get(key);
          if (given?.shape.join() !== own.shape.join()) {
            throw new TorchError(
              `The optimiser's state has no '${key}' of shape [${own.shape.join(', ')}]; give the state that was saved with these weights.`,
            );
          }
          copy_(own, given);
          left.delete(key);
        }
      }
    }
    const [unknown] = left;
    if (unknown !== undefined) {
      throw new TorchError(
        `The optimiser's state has '${unknown}', which is not among the parameters to optimise; freeze the same ones as when it was saved.`,
      );
    }
  }

  /** Frees the state. */
  dispose(): void {
    for (const tensor of this.state().values()) tensor.dispose();
    this.#states.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Optimizer state of a parameter under its names in a checkpoint. */
function namedTensors(name: string, state: object): [string, Tensor][] {
  const fields = Object.entries(state) as [string, Tensor][];
  return fields.map(([field, tensor]) => [`${name}.${snakeCase(field)}`, tensor]);
}

/**
 * Divides work into parts of at most `elements` weights (or one tensor): operators over lists then
 * find the part in the CPU's cache, and their temporaries stay as small as the part.
 */
export function inParts<State>(
  work: readonly Work<State>[],
  elements = 2 ** 18,
): (readonly Work<State>[])[] {
  const parts: Work<State>[][] = [];
  let room = 0;
  for (const item of work) {
    room -= item.parameter.size;
    const part = parts.at(-1);
    if (part !== undefined && room >= 0) {
      part.push(item);
    } else {
      parts.push([item]);
      room = elements - item.parameter.size;
    }
  }
  return parts;
}
