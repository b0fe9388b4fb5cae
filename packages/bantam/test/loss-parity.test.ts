import { full, log, narrow, pow, select, to, type Tensor } from '@bantam/torch';
import { clipLoss, globalContrastiveLoss, sigLipLoss, simclrLoss } from '../dist/losses/index.js';
import { describeLoss, firstRows, openLosses, type LossCase } from './loss-fixture.js';
import { find } from './tower-fixture.js';

const reference = openLosses('losses');
const groups = (n: number) => firstRows(reference, 'groups', n);

type Loss = LossCase<'image' | 'text' | 'scale' | 'bias'>['loss'];

const losses: Readonly<Record<string, Loss>> = {
  clip: ({ image, text, scale }, _, chunk) => clipLoss(image, text, scale, { chunk }),
  clip_groups: ({ image, text, scale }, n, chunk) =>
    clipLoss(image, text, scale, { groups: groups(n), chunk }),
  siglip: ({ image, text, scale: logitScale, bias: logitBias }, _, chunk) =>
    sigLipLoss(image, text, { logitScale, logitBias, chunk }),
  siglip_groups: ({ image, text, scale: logitScale, bias: logitBias }, n, chunk) =>
    sigLipLoss(image, text, { logitScale, logitBias, groups: groups(n), chunk }),
  simclr: ({ image, text }) => simclrLoss(image, text),
  global: ({ image, text, scale }, n) => {
    const logU = [0, 1].map((side) =>
      to(log(narrow(select(find(reference, 'u'), 0, side), 0, 0, n)), { dtype: image.dtype }),
    ) as [Tensor, Tensor];
    return globalContrastiveLoss(image, text, {
      logU,
      gamma: 0.3,
      temperature: pow(scale, -1),
      rho: 6.5,
    }).loss;
  },
};

for (const [name, loss] of Object.entries(losses)) {
  describeLoss({
    name,
    reference,
    batches: name === 'global' ? [2, 7, 16] : [1, 2, 7, 16],
    chunks: [undefined, 3],
    inputs: (n) => ({
      image: firstRows(reference, 'image', n),
      text: firstRows(reference, 'text', n),
      scale: full([], 5),
      bias: full([], -2),
    }),
    loss,
  });
}
