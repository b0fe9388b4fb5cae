/** Sums of gradients over a group, which can begin while a backward pass goes on. */
import { noGrad } from '../autograd.js';
import { at } from '../at.js';
import { native } from '../native.js';
import { emptyLike } from '../ops/create.js';
import { copy_ } from '../ops/in-place.js';
import { reshape, to } from '../ops/shape.js';
import { keep, scope } from '../scope.js';
import { fromTypedArray, type Tensor } from '../tensor.js';
import { bucketsOf, eachPart, flatten, type Bucket } from './buckets.js';
import type { ProcessGroup } from './group.js';

/** The sum of a bucket that has begun. */
interface Begun {
  readonly flat: Tensor;
  readonly done: Promise<void>;
}

/**
 * Replaces the gradients of parameters, the same list in every process, by their sums over the group; a parameter
 * without gradient in one process has that of the others. They travel in buckets of 25 MiB (Li et al. 2020,
 * "PyTorch Distributed", section 3.2), the last parameters first, and take as much memory once more
 * until they have come.
 *
 * The sums have the same bits whether they begin during a pass or after it.
 */
export class GradientSums {
  readonly #group: ProcessGroup;
  readonly #parameters: readonly Tensor[];
  readonly #sizes: readonly number[];
  /** In the order in which their sums begin. */
  readonly #buckets: readonly Bucket[];
  /** Of each parameter, where its bucket is among them. */
  readonly #bucketOf: readonly number[];
  /** Parameters whose gradients come in the pass, in every process; null: not known yet, or not the same. */
  #coming: ReadonlySet<number> | null = null;
  /** The ones of this step's pass; null: there was none. */
  #came: Set<number> | null = null;
  #begun: Begun[] = [];
  /** Buckets whose sums had begun before a gradient came, in this process. */
  readonly #late = new Set<number>();

  constructor(group: ProcessGroup, parameters: readonly Tensor[]) {
    this.#group = group;
    this.#parameters = parameters;
    this.#sizes = parameters.map(({ size }) => size);
    this.#buckets = bucketsOf(parameters).reverse();
    const found = new Map(
      this.#buckets.flatMap(({ indices }, place) => indices.map((i) => [i, place] as const)),
    );
    this.#bucketOf = parameters.map((_, i) => found.get(i) ?? this.#buckets.length);
  }

  /** True if these are the parameters. */
  isOf(parameters: readonly Tensor[]): boolean {
    return (
      parameters.length === this.#parameters.length &&
      parameters.every((parameter, i) => parameter === this.#parameters[i])
    );
  }

  /**
   * Runs the last backward pass before {@link finish}. The first one shows which gradients come in it; in those
   * after it a bucket's sum begins as soon as all of them have come, and so have the buckets' before it. The sum of a
   * bucket that meets another gradient after it has begun is done again, and the next pass shows anew which come.
   * There must be no other collective in the pass, and all processes must run the same.
   */
  during(pass: () => void): void {
    const came = new Set<number>();
    const left = this.#coming === null ? null : this.#missing(this.#coming);
    const handles = this.#parameters.map(({ handle }) => handle);
    native.onGradients(handles, (i) => {
      came.add(i);
      if (left === null) return;
      const place = at(this.#bucketOf, i);
      if (place < this.#begun.length) this.#late.add(place);
      left[place]?.delete(i);
      while (this.#begun.length < left.length && left[this.#begun.length]?.size === 0)
        this.#begin();
    });
    try {
      pass();
    } finally {
      native.onGradients(handles, null);
    }
    this.#came = came;
  }

  /** The parameters of each bucket that are among these. */
  #missing(coming: ReadonlySet<number>): Set<number>[] {
    return this.#buckets.map(({ indices }) => new Set(indices.filter((i) => coming.has(i))));
  }

  /** Begins the next bucket's sum. */
  #begin(): void {
    this.#begun.push(this.#sumOf(at(this.#buckets, this.#begun.length)));
  }

  #sumOf(bucket: Bucket): Begun {
    const own = new Set(bucket.indices);
    const flat = scope(() => {
      const gradients = this.#parameters.map((one, i) => (own.has(i) ? one.grad : null));
      return keep(noGrad(() => flatten(bucket, gradients, this.#sizes)));
    });
    const done = this.#group.allReduce([flat], { isAwaited: false });
    // Whoever finishes learns of a failure.
    done.catch(() => undefined);
    return { flat, done };
  }

  /** Begins the sums that have not, and waits for all. */
  async finish(): Promise<void> {
    while (this.#begun.length < this.#buckets.length) this.#begin();
    const begun = this.#begun;
    this.#begun = [];
    const own = scope(() => this.#parameters.map(({ grad }) => grad !== null));
    // Of the parameters, then of the buckets, so that one collective has both.
    const isLate = this.#buckets.map((_, place) => this.#late.has(place));
    const flags = fromTypedArray(Float32Array.from([...own, ...isLate], Number));
    this.#late.clear();
    try {
      await this.#learn();
      await this.#group.allReduce([flags], { op: 'max' });
      for (const { done } of begun) await this.#group.waitFor(done);
      const there = flags.toArray();
      const late = [...begun.entries()].filter(([place]) => at(there, own.length + place) === 1);
      for (const [place, { flat }] of late) {
        const again = this.#sumOf(at(this.#buckets, place));
        begun[place] = again;
        flat.dispose();
        await this.#group.waitFor(again.done);
      }
      if (late.length > 0) this.#coming = null;
      noGrad(() => {
        scope(() => {
          for (const [place, { flat }] of begun.entries()) {
            this.#replace(at(this.#buckets, place), flat, there);
          }
        });
      });
    } finally {
      for (const tensor of [flags, ...begun.map(({ flat }) => flat)]) tensor.dispose();
    }
  }

  /** After the first pass: agrees with the others on the gradients that come in one. */
  async #learn(): Promise<void> {
    const came = this.#came;
    this.#came = null;
    if (came === null || this.#coming !== null) return;
    using least = this.#flags((i) => came.has(i));
    using most = this.#flags((i) => came.has(i));
    await this.#group.allReduce([least], { op: 'min' });
    await this.#group.allReduce([most], { op: 'max' });
    const highest = most.toArray();
    if (least.toArray().every((value, i) => value === highest[i])) this.#coming = came;
  }

  /** 1 for every parameter for which it holds, else 0. */
  #flags(holds: (index: number) => boolean): Tensor {
    return fromTypedArray(Float32Array.from(this.#parameters, (_, i) => Number(holds(i))));
  }

  /**
   * Gives parameters their parts of a bucket. Their own gradients may share memory with each other, as that of a sum
   * of two parameters does, so that writing into one would change another.
   */
  #replace(bucket: Bucket, flat: Tensor, there: readonly number[]): void {
    eachPart(bucket, flat, this.#sizes, (i, part) => {
      if (at(there, i) === 0) return;
      const parameter = at(this.#parameters, i);
      const { shape, device, isContiguous } = parameter;
      const sum = reshape(part, shape);
      parameter.grad = isContiguous ? to(sum, { device }) : copy_(emptyLike(parameter), sum);
    });
  }
}

/** {@link GradientSums} of one step, whose backward passes are done. */
export async function sumGradients(
  group: ProcessGroup,
  parameters: readonly Tensor[],
): Promise<void> {
  await new GradientSums(group, parameters).finish();
}
