import {
  autocast,
  BatchNorm2d,
  Linear,
  Module,
  mul,
  relu,
  reshape,
  type Generator,
  type Tensor,
} from '@bantam/torch';
import * as v from 'valibot';
import { atLeast, count, group, positive, setting } from '../../base/schema.js';
import { augmentations } from '../../data/index.js';
import { collapsedSimclrLoss, simclrLoss } from '../../losses/index.js';
import { representationWidth } from '../../models/index.js';
import { contrastiveEntries } from './contrastive.js';
import { auxiliaryFeature, inFullPrecision, requireTensor } from './features.js';
import { encodeView, pairStrategy, towerFlops, trainedPasses } from './pair.js';
import { defineStrategy } from './strategy.js';

/** Widths of {@link SlipHead}. */
interface HeadSizes {
  input: number;
  hidden: number;
  output: number;
}

/** A linear layer, batch norm over the rows, and ReLU. */
class HeadLayer extends Module {
  linear: Linear;
  bn: BatchNorm2d;

  constructor(inFeatures: number, outFeatures: number, generator: Generator) {
    super();
    this.linear = new Linear({ inFeatures, outFeatures, generator });
    this.bn = new BatchNorm2d({ channels: outFeatures });
  }

  forward(x: Tensor): Tensor {
    const hidden = this.linear.forward(x);
    const map = reshape(hidden, [...hidden.shape, 1, 1]);
    return relu(reshape(this.bn.forward(map), hidden.shape));
  }
}

/** The head between the image tower and the self-supervised loss (Mu et al. 2021, section 3). */
class SlipHead extends Module {
  layers: HeadLayer[];
  last: Linear;

  constructor({ input, hidden, output }: HeadSizes, generator: Generator) {
    super();
    this.layers = [
      new HeadLayer(input, hidden, generator),
      new HeadLayer(hidden, hidden, generator),
    ];
    this.last = new Linear({ inFeatures: hidden, outFeatures: output, generator });
  }

  /** [B, input] → [B, output] */
  forward(x: Tensor): Tensor {
    return this.last.forward(this.layers.reduce((y, layer) => layer.forward(y), x));
  }
}

/**
 * SLIP (Mu et al. 2021): CLIP, and SimCLR on two more views of every image, which a head of its own
 * projects from the tower's representation. The head works on whole batches, so that it is exact
 * with a gradient cache.
 */
export const slip = defineStrategy({
  schema: group({
    type: v.literal('slip'),
    ...contrastiveEntries('softmax'),
    sslScale: setting(atLeast(0), 1, 'Weight of the self-supervised loss.'),
    sslTemperature: setting(positive(), 0.1, 'Temperature of the self-supervised loss.'),
    headWidth: setting(count(), 4096, "Width of the projection head's two hidden layers."),
    headDim: setting(count(), 256, 'Length of the vectors that the self-supervised loss compares.'),
  }),
  create(settings, strategy) {
    const { sslScale, sslTemperature, headWidth, headDim } = settings;
    const pair = pairStrategy(settings, strategy);
    const sizes = {
      input: representationWidth(strategy.model),
      hidden: headWidth,
      output: headDim,
    };
    const head = new SlipHead(sizes, strategy.generator);
    const headFlops = 2 * (sizes.input * headWidth + headWidth ** 2 + headWidth * headDim);
    return {
      ...pair,
      module: pair.module === null ? head : new SlipModules(head, pair.module),
      views: (augment) => ({
        image: augment,
        first: augmentations.simclr,
        second: augmentations.simclr,
      }),
      encode(batch, context) {
        const features = pair.encode(batch, context);
        const first = encodeView(batch, 'first', context);
        const second = encodeView(batch, 'second', context);
        return {
          ...features,
          first: first.representation,
          second: second.representation,
          ...auxiliaryFeature([{ auxiliaryLoss: features.auxiliary }, first, second]),
        };
      },
      losses(features, context) {
        const project = (name: string): Tensor =>
          inFullPrecision(
            autocast(context.precision, () => head.forward(requireTensor(features, name)), {
              device: context.model.logitScale.device,
            }),
          );
        const ssl = simclrLoss(project('first'), project('second'), {
          temperature: sslTemperature,
        });
        return { ...pair.losses(features, context), ssl: mul(ssl, sslScale) };
      },
      collapsed(batch, model) {
        const contrastive = pair.collapsed(batch, model);
        return contrastive === null ? null : contrastive + sslScale * collapsedSimclrLoss(batch);
      },
      flops(model, cost) {
        const { image } = towerFlops(model, cost);
        // The head works on whole batches: one forward pass, whatever the towers need.
        const once = trainedPasses({ forwardPasses: 1, recomputed: false }, 'image');
        const view = trainedPasses(cost, 'image') * image + once * headFlops;
        return pair.flops(model, cost) + 2 * view;
      },
    };
  },
});

/** The head, and the state of the contrastive loss. */
class SlipModules extends Module {
  constructor(
    public head: Module,
    public contrastive: Module,
  ) {
    super();
  }
}
