import { describe, it } from 'node:test';
import {
  expand,
  Generator,
  indexSelect,
  normalize,
  randn,
  scope,
  tensor,
  type Tensor,
} from '@bantam/torch';
import { clipLoss } from './clip-loss.js';
import { near } from '../test-support/losses.js';

function features(seed: number, rows: number, width: number): Tensor {
  const drawn = randn([rows, width], new Generator({ seed }), { dtype: 'float64' });
  return normalize(drawn);
}

describe('clipLoss', () => {
  it('is ln B if all features are equal', () => {
    scope(() => {
      const same = expand(features(1, 1, 8), [5, 8]);
      near(clipLoss(same, same, 20).item(), Math.log(5), 1e-12);
    });
  });

  it('equals its formula for two pairs', () => {
    scope(() => {
      const image = tensor([[1, 0], [0.6, 0.8]], { dtype: 'float64' }); // prettier-ignore
      const text = tensor([[0.8, 0.6], [0, 1]], { dtype: 'float64' }); // prettier-ignore
      const logits = [[8, 0], [9.6, 8]] as const; // prettier-ignore
      const loss = (own: number, other: number) => Math.log(1 + Math.exp(other - own));
      const [[a, b], [c, d]] = logits;
      const expected = (loss(a, b) + loss(d, c) + loss(a, c) + loss(d, b)) / 4;
      near(clipLoss(image, text, 10).item(), expected, 1e-12);
    });
  });

  it('does not change with the order of the pairs, nor when image and text are exchanged', () => {
    scope(() => {
      const [image, text] = [features(2, 6, 8), features(3, 6, 8)];
      const order = tensor([4, 2, 0, 5, 1, 3], { dtype: 'int64' });
      const shuffled = [image, text].map((x) => indexSelect(x, 0, order)) as [Tensor, Tensor];
      const value = clipLoss(image, text, 14).item();
      near(clipLoss(...shuffled, 14).item(), value, 1e-12);
      near(clipLoss(text, image, 14).item(), value, 1e-12);
    });
  });

  it('approaches 0 if each pair is alike and all others opposite', () => {
    scope(() => {
      const pairs = tensor([[1, 0], [-1, 0]], { dtype: 'float64' }); // prettier-ignore
      near(clipLoss(pairs, pairs, 100).item(), 0, 1e-12);
    });
  });
});
