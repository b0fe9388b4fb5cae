import { zeros } from '../ops/create.js';
import { embedding } from '../ops/neural.js';
import type { Generator } from '../random.js';
import type { Tensor } from '../tensor.js';
import { normalInit } from './init.js';
import { Module } from './module.js';
import { Parameter } from './parameter.js';

/** Options of {@link Embedding}. */
export interface EmbeddingOptions {
  entries: number;
  width: number;
  /** Draws the initial weights; null leaves them zero, to be loaded. */
  generator: Generator | null;
}

/** A table of vectors: int64 ids [*] → [*, width]; entries start as N(0, 1). */
export class Embedding extends Module {
  weight: Parameter;

  constructor({ entries, width, generator }: EmbeddingOptions) {
    super();
    this.weight = normalInit(new Parameter(zeros([entries, width])), generator);
  }

  forward(ids: Tensor): Tensor {
    return embedding(this.weight, ids);
  }
}
