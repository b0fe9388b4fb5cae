import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  formatStructure,
  LayerNorm,
  Linear,
  Module,
  Parameter,
  structureOf,
  zeros,
} from '../index.js';

class Block extends Module {
  norm = new LayerNorm({ width: 2 });
  proj = new Linear({ inFeatures: 2, outFeatures: 2, bias: false, generator: null });
}

class Tower extends Module {
  scale = new Parameter(zeros([3]));
  blocks = [new Block(), new Block(), new Block()];
  head = new Linear({ inFeatures: 2, outFeatures: 5000, generator: null });
}

describe('structureOf', () => {
  it('gives classes, own tensors and counts, alike neighbours as one', () => {
    assert.deepEqual(formatStructure(structureOf(new Tower())), [
      'Tower, 15.0k',
      '  scale [3]',
      '  blocks.0 … 2 (3 ×): Block, 8',
      '    norm: LayerNorm, 4',
      '      weight [2]',
      '      bias [2]',
      '    proj: Linear, 4',
      '      weight [2, 2]',
      '  head: Linear, 15.0k',
      '    weight [5000, 2]',
      '    bias [5000]',
    ]);
  });

  it('ends at a depth', () => {
    assert.deepEqual(formatStructure(structureOf(new Tower()), { depth: 1 }), [
      'Tower, 15.0k',
      '  scale [3]',
      '  blocks.0 … 2 (3 ×): Block, 8',
      '  head: Linear, 15.0k',
    ]);
  });
});
