import { fromTypedArray, indexSelect, normalize, scope, type Tensor } from '@bantam/torch';
import { at } from '../../base/at.js';
import { BantamError } from '../../base/errors.js';
import { hashText, type LabelSet } from '../../data/index.js';

/** Features of images and their classes. */
export interface ProbeSet {
  /** [N, D] */
  readonly features: Tensor;
  /** Class of each row, from 0. */
  readonly labels: Int32Array;
}

/** Rows of a data set that are for training, for choosing settings, and for testing. */
export interface ProbeRows {
  readonly train: readonly number[];
  readonly validation: readonly number[];
  readonly test: readonly number[];
}

/** Vectors that probes are trained on. */
export const probeLayers = ['representation', 'embedding'] as const;

/**
 * `representation`: the image's vector before the projection to the shared space; `embedding`: the
 * projected feature that is compared with texts.
 */
export type ProbeLayer = (typeof probeLayers)[number];

/** Selects rows of features; with `unit` each is scaled to length 1. */
export function selectRows(
  features: Tensor,
  rows: readonly number[],
  { unit }: { unit: boolean },
): Tensor {
  return scope(() => {
    const chosen = indexSelect(features, 0, fromTypedArray(BigInt64Array.from(rows, BigInt)));
    return unit ? normalize(chosen) : chosen;
  });
}

/** Images that {@link splitByKey} takes for testing of a class of `images`. */
export function heldOut(images: number): number {
  return Math.round(images / 4);
}

/**
 * Splits the images of each class by a hash of their keys: a quarter, rounded, for testing where
 * `test` asks for it, a quarter of the others for validation. The same keys give the same split,
 * in any order. The rule is Bantam's own, for data that come without splits.
 *
 * @param labels Class of each row; rows with −1 are left out.
 */
export function splitByKey(
  keys: readonly string[],
  labels: Int32Array,
  { test: wantsTest }: { test: boolean },
): ProbeRows {
  const ofClass = new Map<number, number[]>();
  labels.forEach((label, row) => {
    if (label < 0) return;
    const rows = ofClass.get(label);
    if (rows === undefined) ofClass.set(label, [row]);
    else rows.push(row);
  });
  const split = { train: [] as number[], validation: [] as number[], test: [] as number[] };
  for (const rows of ofClass.values()) {
    const order = rows
      .map((row) => ({ row, key: at(keys, row), hash: hashText(at(keys, row)) }))
      .sort((a, b) => a.hash - b.hash || (a.key < b.key ? -1 : 1))
      .map(({ row }) => row);
    const tests = wantsTest ? heldOut(order.length) : 0;
    const validations = heldOut(order.length - tests);
    split.test.push(...order.slice(0, tests));
    split.validation.push(...order.slice(tests, tests + validations));
    split.train.push(...order.slice(tests + validations));
  }
  const inOrder = (rows: number[]): number[] => rows.sort((a, b) => a - b);
  return {
    train: inOrder(split.train),
    validation: inOrder(split.validation),
    test: inOrder(split.test),
  };
}

/**
 * Classes of one data set as numbers of another's classes, by name.
 *
 * @param to The classes that a head is trained on.
 * @throws BantamError naming a class that the training data lack.
 */
export function matchClasses(
  from: Pick<LabelSet, 'classes'>,
  to: Pick<LabelSet, 'classes'>,
  names: { readonly test: string; readonly train: string },
): number[] {
  const ids = new Map(to.classes.map((name, id) => [name, id] as const).reverse());
  return from.classes.map((name) => {
    const id = ids.get(name);
    if (id !== undefined) return id;
    throw new BantamError(
      `The training data "${names.train}" have no class "${name}", which "${names.test}" has; give training data with the same classes.`,
    );
  });
}
