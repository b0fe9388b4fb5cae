import { TorchError } from '../errors.js';
import { Module } from '../nn/module.js';
import type { Parameter } from '../nn/parameter.js';
import { Operator } from '../operator.js';
import { zeros, zerosLike } from '../ops/create.js';
import { copy_ } from '../ops/in-place.js';
import { keep, scope } from '../scope.js';
import type { Tensor } from '../tensor.js';
import { parameterGroups, type ParameterGroup } from './groups.js';

const fusedAdamW = new Operator('aten::_fused_adamw_');
const addEach = new Operator('aten::_foreach_add_', 'Scalar');

/** Options of {@link AdamW}. */
export interface AdamWOptions {
  /** Learning rate. Default 1e-3. */
  lr?: number;
  /** Decay rates of the two moments. Default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Default 1e-8. */
  eps?: number;
  /** Default 0.01. */
  weightDecay?: number;
}

/** What is kept for one parameter. */
interface Moments {
  readonly expAvg: Tensor;
  readonly expAvgSq: Tensor;
  /** Number of steps taken, a float32 scalar. */
  readonly step: Tensor;
}

function newMoments(parameter: Parameter): Moments {
  return {
    expAvg: keep(zerosLike(parameter)),
    expAvgSq: keep(zerosLike(parameter)),
    step: keep(zeros([], { device: parameter.device })),
  };
}

/** The names under which a parameter's moments are saved. */
function namedMoments(name: string, { expAvg, expAvgSq, step }: Moments): [string, Tensor][] {
  return [
    [`${name}.exp_avg`, expAvg],
    [`${name}.exp_avg_sq`, expAvgSq],
    [`${name}.step`, step],
  ];
}

/**
 * Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2), by libtorch's fused
 * kernel: θ ← θ − lr·λ·θ, then θ ← θ − lr·m̂/(√v̂ + eps) with bias-corrected moments m̂ and v̂.
 * Parameters without a gradient stay as they are.
 */
export class AdamW {
  readonly groups: readonly ParameterGroup[];
  readonly #options: Required<AdamWOptions>;
  readonly #moments = new Map<string, Moments>();

  /** Takes groups, or all parameters of a module that are not frozen. */
  constructor(
    source: Module | readonly ParameterGroup[],
    { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 }: AdamWOptions = {},
  ) {
    this.groups = source instanceof Module ? parameterGroups(source, []) : source;
    this.#options = { lr, betas, eps, weightDecay };
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

  #momentsOf(name: string, parameter: Parameter): Moments {
    let moments = this.#moments.get(name);
    if (moments === undefined) {
      moments = newMoments(parameter);
      this.#moments.set(name, moments);
    }
    return moments;
  }

  #stepGroup({ parameters, weightDecay, lrScale }: ParameterGroup, lr: number): void {
    const work = [...parameters].flatMap(([name, parameter]) => {
      const gradient = parameter.grad;
      return gradient === null
        ? []
        : [{ parameter, gradient, ...this.#momentsOf(name, parameter) }];
    });
    if (work.length === 0) return;
    const steps = work.map(({ step }) => step);
    addEach.inPlace(steps, 1);
    const { betas, eps } = this.#options;
    fusedAdamW.inPlace(
      work.map(({ parameter }) => parameter),
      work.map(({ gradient }) => gradient),
      work.map(({ expAvg }) => expAvg),
      work.map(({ expAvgSq }) => expAvgSq),
      [],
      steps,
      lr * lrScale,
      betas[0],
      betas[1],
      weightDecay ?? this.#options.weightDecay,
      eps,
      false,
      false,
    );
  }

  /** Moves the parameters by one step along their gradients; the learning rate may be given anew. */
  step({ lr = this.#options.lr }: { lr?: number } = {}): void {
    scope(() => {
      for (const group of this.groups) this.#stepGroup(group, lr);
    });
  }

  /** Forgets the gradients of all parameters. */
  zeroGrad(): void {
    for (const { parameters } of this.groups) {
      for (const parameter of parameters.values()) parameter.grad = null;
    }
  }

  /**
   * The moments by name (`<parameter>.exp_avg`, `.exp_avg_sq`, `.step`): the tensors themselves.
   * Before the first step there are none.
   */
  state(): Map<string, Tensor> {
    return new Map([...this.#moments].flatMap(([name, moments]) => namedMoments(name, moments)));
  }

  /**
   * Continues from what {@link state} gave, bit for bit.
   *
   * @throws TorchError when it is the state of other parameters.
   */
  loadState(state: ReadonlyMap<string, Tensor>): void {
    const left = new Set(state.keys());
    for (const { parameters } of this.groups) {
      for (const [name, parameter] of parameters) {
        if (!left.has(`${name}.step`)) continue;
        for (const [key, own] of namedMoments(name, this.#momentsOf(name, parameter))) {
          const saved = state.get(key);
          if (saved?.shape.join() !== own.shape.join()) {
            throw new TorchError(
              `The optimiser's state has no '${key}' of shape [${own.shape.join(', ')}]; give the state that was saved with these weights.`,
            );
          }
          copy_(own, saved);
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

  /** Frees the moments. */
  dispose(): void {
    for (const tensor of this.state().values()) tensor.dispose();
    this.#moments.clear();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
