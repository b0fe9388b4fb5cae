/** Orders of rank 0 to the other processes. */
import type { FloatDType } from '@bantam/torch';
import type { Geometry } from '../../data/index.js';
import type { InferencePrecision } from '../load-for-inference.js';

/** An order, plain JSON. */
export type Order =
  | {
      /** To load the model of the orders that follow. */
      readonly kind: 'load';
      readonly name: string;
      readonly precision?: InferencePrecision;
      readonly device?: string;
    }
  | ImagesOrder
  | TextsOrder
  | { readonly kind: 'end' };

/** To encode images of a source, which each process opens by its specification. */
export interface ImagesOrder {
  readonly kind: 'images';
  readonly spec: string;
  /** Records of the source. */
  readonly size: number;
  /** The records; null: all. */
  readonly indices: readonly number[] | null;
  /** Of their keys. */
  readonly digest: string;
  readonly batchSize: number;
  readonly precision?: FloatDType;
  readonly geometry?: Partial<Geometry>;
  readonly representations: boolean;
}

/** To encode texts. */
export interface TextsOrder {
  readonly kind: 'texts';
  readonly texts: readonly string[];
  readonly batchSize: number;
  readonly precision?: FloatDType;
  readonly maxTokens?: number;
}
