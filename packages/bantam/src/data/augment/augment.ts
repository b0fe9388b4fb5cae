import { BantamError } from '../../base/errors.js';
import { opTable, type OpName, type OpParameters, type Range } from './operations.js';
import { evalTransform } from '../images/eval-transform.js';
import { didYouMean } from '../../base/did-you-mean.js';
import type { Pixels } from '../images/pixels.js';
import { randOpNames } from './rand-augment.js';
import type { Draws } from '../counter-rng.js';

/** One operation with the parameters that differ from its defaults. */
export type ImageOp = { [N in OpName]: { readonly op: N } & Partial<OpParameters[N]> }[OpName];

/**
 * Operations on a picture in order: plain data that is printed, saved and compared. `p` is the
 * chance of an operation; every random decision comes from the {@link Draws} of a sample.
 */
export type ImageAugment = readonly ImageOp[];

/** The augmentation with every parameter spelt out. Throws as {@link checkAugment} does. */
export function resolveAugment(augment: ImageAugment): ImageAugment {
  checkAugment(augment);
  return augment.map((step) => ({ ...opTable[step.op].defaults, ...step }) as ImageOp);
}

/** Throws unless every operation and parameter is known, and each value of the right kind. */
export function checkAugment(augment: ImageAugment): void {
  const names = Object.keys(opTable);
  for (const { op, ...parameters } of augment) {
    if (!names.includes(op)) {
      throw new BantamError(
        `There is no image operation "${op}"${didYouMean(op, names)}; there are ${names.join(', ')}.`,
      );
    }
    const defaults: Readonly<Record<string, unknown>> = { ...opTable[op].defaults };
    for (const [key, value] of Object.entries(parameters)) {
      if (!(key in defaults)) {
        const known = Object.keys(defaults);
        throw new BantamError(
          `The image operation "${op}" has no "${key}"${didYouMean(key, known)}; it has ${known.join(', ')}.`,
        );
      }
      const wanted = requirement(key, value, defaults[key]);
      if (wanted !== undefined) {
        throw new BantamError(
          `"${key}" of the image operation "${op}" is ${JSON.stringify(value)}, but must be ${wanted}.`,
        );
      }
    }
  }
}

const choices: Readonly<Record<string, readonly string[]>> = {
  interpolation: ['bicubic', 'bilinear'],
  resizeMode: ['shortest', 'squash'],
  resampling: ['bilinear', 'bicubic', 'either'],
};

/** Least and greatest value of numbers that have them. */
const bounds: Readonly<Record<string, Range>> = {
  p: [0, 1],
  chance: [0, 1],
  least: [0, 1],
  hue: [0, 0.5],
  fill: [0, 255],
  threshold: [0, 256],
  magnitude: [0, 10],
  bits: [1, 8],
  n: [1, Infinity],
};

const isWhole: readonly string[] = ['bits', 'n'];

/** What a value should have been, where it is not. */
function requirement(key: string, value: unknown, example: unknown): string | undefined {
  const known = choices[key];
  if (known !== undefined) {
    return typeof value === 'string' && known.includes(value) ? undefined : known.join(' or ');
  }
  if (Array.isArray(example)) {
    const list: readonly unknown[] = Array.isArray(value) ? value : [];
    if (key === 'operations') return listOfOperations(list);
    const isNumber = (each: unknown): each is number => typeof each === 'number';
    if (key === 'fillColor') {
      const right = list.length === 3 && list.every((each) => isNumber(each) && isLevel(each));
      return right ? undefined : 'three levels from 0 to 255';
    }
    const [low, high, ...rest] = list;
    const numbers = isNumber(low) && isNumber(high) && rest.length === 0;
    return numbers && low > 0 && low <= high ? undefined : 'two positive numbers, lower first';
  }
  const [least, most] = bounds[key] ?? [0, Infinity];
  const whole = isWhole.includes(key);
  const right = typeof value === 'number' && value >= least && value <= most;
  if (right && (!whole || Number.isInteger(value))) return undefined;
  const kind = whole ? 'a whole number' : 'a number';
  return `${kind} from ${least}${most === Infinity ? '' : ` to ${most}`}`;
}

function isLevel(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 255;
}

function listOfOperations(list: readonly unknown[]): string | undefined {
  const right = list.every((op) => typeof op === 'string' && randOpNames.includes(op));
  return right && list.length > 0 ? undefined : `a list of some of ${randOpNames.join(', ')}`;
}

export interface AugmentContext {
  /** Edge of the result in pixels. */
  readonly size: number;
  readonly draws: Draws;
  /** Memory that the result may come in, size · size · 3 bytes; not the given pixels'. */
  readonly target?: Uint8Array;
}

/**
 * Applies an augmentation; the result is size × size. A picture that no operation brought to that
 * size gets the evaluation transform in the end. The given pixels are never written to.
 */
export function augmentImage(
  given: Pixels,
  augment: ImageAugment,
  context: AugmentContext,
): Pixels {
  let pixels = given;
  for (const step of augment) pixels = applyStep(step.op, step, pixels, given, context);
  const { size } = context;
  if (pixels.width === size && pixels.height === size) return pixels;
  const geometry = { interpolation: 'bicubic', antialias: true, resizeMode: 'shortest' } as const;
  return evalTransform(pixels, { size, ...geometry });
}

function applyStep<N extends OpName>(
  op: N,
  step: Partial<OpParameters[N]>,
  pixels: Pixels,
  given: Pixels,
  context: AugmentContext,
): Pixels {
  const { defaults, inPlace, apply } = opTable[op];
  const parameters: OpParameters[N] & { p?: number } = { ...defaults, ...step };
  if (parameters.p !== undefined && !context.draws.chance(parameters.p)) return pixels;
  const shared = inPlace && pixels.data.buffer === given.data.buffer;
  return apply(shared ? { ...pixels, data: pixels.data.slice() } : pixels, parameters, context);
}
