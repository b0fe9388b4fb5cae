/** A NaN or an infinity goes into one input of a kernel; its trace is compared with the plain twin's. */
import assert from 'node:assert/strict';
import {
  fromTypedArray,
  grad,
  mul,
  noGrad,
  scope,
  to,
  type FloatDType,
  type Tensor,
} from './index.js';

/** Inputs by name. */
export type Inputs = Readonly<Record<string, Tensor>>;

type Compute = (inputs: Inputs) => Tensor;

/** A kernel and what computes the same in float32 by libtorch's operators. */
export interface Twins {
  /** Values that bfloat16 holds. */
  readonly inputs: Inputs;
  /** Dtype of the kernel. */
  readonly dtype: FloatDType;
  /** Inputs that stay in float32 whatever `dtype` is. */
  readonly wide?: readonly string[];
  readonly kernel: Compute;
  readonly plain: Compute;
  /**
   * The dependencies alone, where 0·NaN of the plain operators reaches numbers that do not depend on the
   * input: the kernel must be as this one, or not finite where the plain one is not.
   */
  readonly exact?: Compute;
  /**
   * True if the kernel leaves `dtype` to libtorch, whose products of padded blocks have 0·NaN where the plain
   * operators have a number: more numbers may be not finite.
   */
  readonly spreads?: boolean;
  /** The upstream gradient; none where the kernel is for inference. */
  readonly upstream?: Tensor;
  /** Largest difference of finite numbers, relative to the largest of them. */
  readonly tolerance: number;
}

/** `result`, and the gradients by their inputs' names. */
type Traces = Readonly<Record<string, readonly number[]>>;

function traces(compute: Compute, inputs: Inputs, twins: Twins, isPlain: boolean): Traces {
  const { dtype, wide = [], upstream } = twins;
  const typeOf = (name: string) => (isPlain || wide.includes(name) ? 'float32' : dtype);
  return scope(() => {
    const leaves = Object.fromEntries(
      Object.entries(inputs).map(([name, value]) => {
        const leaf = to(mul(value, 1), { dtype: typeOf(name) });
        leaf.requiresGrad = upstream !== undefined;
        return [name, leaf];
      }),
    );
    if (upstream === undefined) return { result: noGrad(() => compute(leaves)).toArray() };
    const result = compute(leaves);
    const gradOutputs = [to(inputs.upstream ?? upstream, { dtype: result.dtype })];
    const names = Object.keys(leaves).filter((name) => name !== 'upstream');
    const wanted = names.map((name) => leaves[name] ?? assert.fail());
    const gradients = grad([result], wanted, { gradOutputs });
    return {
      result: result.toArray(),
      ...Object.fromEntries(names.map((name, i) => [name, gradients[i]?.toArray() ?? []])),
    };
  });
}

/** `x` with `value` near its end. */
function poisoned(x: Tensor, value: number): Tensor {
  const values = Float32Array.from(x.toArray());
  values[values.length - 1 - (values.length >> 5)] = value;
  return fromTypedArray(values, { shape: x.shape });
}

/** Numbers that are not finite: in the result, and in the gradients. */
export interface Seen {
  readonly input: string;
  readonly inResult: number;
  readonly ofResult: number;
  readonly inGradients: number;
  readonly ofGradients: number;
}

/** Puts `value` into each input (and the upstream gradient) in turn and compares; → what was seen. */
export function seenNonFinite(twins: Twins, value: number): Seen[] {
  const { plain, exact = plain, kernel, tolerance, spreads = false, upstream } = twins;
  const all = upstream ? { ...twins.inputs, upstream } : twins.inputs;
  return Object.keys(all).map((name) => {
    const inputs = { ...all, [name]: poisoned(all[name] ?? assert.fail(), value) };
    const ours = traces(kernel, inputs, twins, false);
    const most = traces(plain, inputs, twins, true);
    const least = exact === plain ? most : traces(exact, inputs, twins, true);
    const isSeen = Number.isNaN(value) ? Number.isNaN : (x: number) => !Number.isFinite(x);
    const counts = { inResult: 0, ofResult: 0, inGradients: 0, ofGradients: 0 };
    for (const [part, numbers] of Object.entries(ours)) {
      const { [part]: upper = [] } = most;
      const { [part]: lower = [] } = least;
      assert.equal(numbers.length, upper.length);
      const where = `${value} in ${name}: ${part === 'result' ? part : `gradient of ${part}`}`;
      const scale = lower.reduce(
        (so, x) => (Number.isFinite(x) ? Math.max(so, Math.abs(x)) : so),
        1,
      );
      numbers.forEach((x, i) => {
        const [high, low] = [upper[i] ?? assert.fail(), lower[i] ?? assert.fail()];
        if (isSeen(low)) assert.ok(isSeen(x), `${where}[${i}] is ${x}, plainly ${low}`);
        if (isSeen(x))
          assert.ok(spreads || isSeen(high), `${where}[${i}] is ${x}, plainly ${high}`);
        const near = isSeen(x) || Math.abs(x - low) <= tolerance * scale;
        assert.ok(near, `${where}[${i}] is ${x}, plainly ${low}`);
      });
      const seen = numbers.filter(isSeen).length;
      if (part === 'result') {
        counts.inResult += seen;
        counts.ofResult += numbers.length;
      } else {
        counts.inGradients += seen;
        counts.ofGradients += numbers.length;
      }
    }
    return { input: name, ...counts };
  });
}
