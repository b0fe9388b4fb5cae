import { evalTransform } from '../images/eval-transform.js';
import type { Pixels } from '../images/pixels.js';
import type { CounterRng } from '../counter-rng.js';
import { operations } from './operations.js';
import type { OpName, ResolvedAugment, ResolvedOp } from './schema.js';

/** Target and random numbers of {@link augmentImage}. */
export interface AugmentContext {
  /** Side length of the result in pixels. */
  readonly size: number;
  readonly rng: CounterRng;
  /** Memory that the result may come in, size · size · 3 bytes; not the given pixels'. */
  readonly target?: Uint8Array;
}

/**
 * Applies an augmentation; the result is size × size. An image that no operation resized to that
 * size gets the evaluation transform at the end. The given pixels are never written to.
 */
export function augmentImage(
  given: Pixels,
  augment: ResolvedAugment,
  context: AugmentContext,
): Pixels {
  let pixels = given;
  for (const step of augment) pixels = applyStep(step.op, step, { pixels, given }, context);
  const { size } = context;
  if (pixels.width === size && pixels.height === size) return pixels;
  const geometry = { interpolation: 'bicubic', antialias: true, resizeMode: 'shortest' } as const;
  return evalTransform(pixels, { size, ...geometry });
}

function applyStep<N extends OpName>(
  op: N,
  step: ResolvedOp<N>,
  { pixels, given }: { readonly pixels: Pixels; readonly given: Pixels },
  context: AugmentContext,
): Pixels {
  const { inPlace, apply } = operations[op];
  if ('p' in step && !context.rng.chance(step.p)) return pixels;
  const shared = inPlace && pixels.data.buffer === given.data.buffer;
  return apply(shared ? { ...pixels, data: pixels.data.slice() } : pixels, step, context);
}
