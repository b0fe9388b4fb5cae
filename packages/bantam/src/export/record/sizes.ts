/** Sizes as functions of the batch and of the text length. */
import { BantamError } from '../../base/errors.js';

/** Lengths of the inputs of one recording. */
export interface Point {
  readonly batch: number;
  readonly tokens: number;
}

/** The size c + b·batch + t·tokens + p·batch·tokens. */
export interface Polynomial {
  readonly constant: number;
  readonly batch: number;
  readonly tokens: number;
  readonly product: number;
}

/** A number, or what it depends on. */
export type Size = number | Polynomial;

/** True for a size that depends on the inputs. */
export function isDynamic(size: unknown): size is Polynomial {
  return typeof size === 'object' && size !== null && 'product' in size;
}

/** The value of a size for inputs of those lengths. */
export function sizeAt(size: Size, { batch, tokens }: Point): number {
  if (!isDynamic(size)) return size;
  return size.constant + size.batch * batch + size.tokens * tokens + size.product * batch * tokens;
}

/** True if two sizes are equal for all inputs. */
export function sameSize(a: Size, b: Size): boolean {
  return sizeKey(a) === sizeKey(b);
}

/** A text by which equal sizes can be found. */
export function sizeKey(size: Size): string {
  if (!isDynamic(size)) return String(size);
  return `${size.constant},${size.batch},${size.tokens},${size.product}`;
}

/**
 * The polynomial of which `values` are the values at `points`: the first four points, a grid of two
 * batches and two text lengths, determine it, and all others must agree.
 *
 * @throws BantamError if no polynomial agrees.
 */
export function fitSize(values: readonly number[], points: readonly Point[]): Size {
  const [first = Number.NaN] = values;
  if (values.every((value) => value === first)) return first;
  const candidates = interpolate(values, points);
  const agrees = (size: Size) => points.every((point, i) => sizeAt(size, point) === values[i]);
  const size = candidates.find(agrees);
  if (size !== undefined) return size;
  throw new BantamError(
    `A size of this model takes the values ${values.join(', ')} for batches of ${points.map(({ batch }) => batch).join(', ')} and texts of ${points.map(({ tokens }) => tokens).join(', ')} tokens, which no product of the two gives; such a model cannot be exported.`,
  );
}

/** Polynomials through the values of the grid; of the batch alone where all texts are equally long. */
function interpolate(values: readonly number[], points: readonly Point[]): Polynomial[] {
  const [a, b, c, d] = points;
  const [p, q, r, s] = values;
  if (a === undefined || b === undefined || p === undefined || q === undefined) return [];
  const slope = (q - p) / (b.batch - a.batch);
  const alone = { constant: p - slope * a.batch, batch: slope, tokens: 0, product: 0 };
  if (c === undefined || d === undefined || r === undefined || s === undefined) return [alone];
  if (c.tokens === a.tokens) return [alone];
  const [rows, columns] = [b.batch - a.batch, c.tokens - a.tokens];
  const product = (s - q - r + p) / (rows * columns);
  const batch = (q - p) / rows - product * a.tokens;
  const tokens = (r - p) / columns - product * a.batch;
  const constant = p - batch * a.batch - tokens * a.tokens - product * a.batch * a.tokens;
  return [{ constant, batch, tokens, product }];
}
