import type { Generator } from './random.js';
import type { Tensor } from './tensor.js';

/** Argument of a typed operator; `undefined` takes the schema's default, `null` is none. */
export type Argument =
  Tensor | Generator | number | bigint | boolean | string | null | undefined | readonly Argument[];
