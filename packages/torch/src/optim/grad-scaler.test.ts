import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { at } from '../at.js';
import { autocast } from '../autograd.js';
import { prepareDevice, type Device } from '../device.js';
import { takeEmulatedCounters } from '../emulated-device.js';
import { Linear } from '../nn/linear.js';
import { mul } from '../ops/arithmetic.js';
import { onDevice, ones, tensor } from '../ops/create.js';
import { mean } from '../ops/reduce.js';
import { to } from '../ops/shape.js';
import { Generator } from '../random.js';
import { AdamW } from './adamw.js';
import { clipGradNorm, clipGradNormOnDevice } from './clip-grad.js';
import { Ema } from './ema.js';
import { GradScaler } from './grad-scaler.js';
import { Lion } from './lion.js';

const devices: readonly Device[] = ['cpu', prepareDevice('emulated')];

for (const device of devices) {
  describe(`gradient scaling on ${device}`, () => {
    it('divides gradients by the scale, and finds what is not finite', () => {
      using scaler = new GradScaler({ device, initialScale: 8 });
      const gradients = [tensor([8, 16], { device }), tensor([4], { device })];
      assert.equal(scaler.unscale(gradients).item(), 0);
      assert.deepEqual(
        gradients.flatMap((gradient) => gradient.toArray()),
        [1, 2, 0.5],
      );
      assert.equal(scaler.unscale([tensor([1, Infinity], { device })]).item(), 1);
    });

    it('grows after an interval of finite steps and backs off after another', () => {
      using scaler = new GradScaler({ device, initialScale: 8, growthInterval: 2 });
      const found = (value: number): void => {
        scaler.update(tensor(value, { device }));
      };
      found(0);
      assert.deepEqual(scaler.state(), { scale: 8, growthTracker: 1 });
      found(0);
      assert.deepEqual(scaler.state(), { scale: 16, growthTracker: 0 });
      found(1);
      assert.deepEqual(scaler.state(), { scale: 8, growthTracker: 0 });
    });

    it('continues from its state', () => {
      using scaler = new GradScaler({ device });
      scaler.loadState({ scale: 1024, growthTracker: 7 });
      assert.deepEqual(scaler.state(), { scale: 1024, growthTracker: 7 });
    });

    it('gives the gradients of float16 that are too small without it', () => {
      const gradientAt = (scale: number): number => {
        using scaler = new GradScaler({ device, initialScale: scale });
        const layer = onDevice(
          device,
          () => new Linear({ inFeatures: 1, outFeatures: 1, generator: null }),
        );
        const x = ones([1, 1], { device });
        const y = autocast('float16', () => layer.forward(x), { device });
        scaler.scale(mul(to(mean(y), { dtype: 'float32' }), 1e-8)).backward();
        const { grad } = layer.weight;
        if (grad === null) throw new RangeError('There is no gradient.');
        scaler.unscale([grad]);
        return grad.item();
      };
      assert.equal(gradientAt(1), 0);
      assert.ok(Math.abs(gradientAt(65536) - 1e-8) < 1e-10);
    });
  });

  describe(`a step that ${device} leaves out itself`, () => {
    const made = () =>
      onDevice(
        device,
        () => new Linear({ inFeatures: 2, outFeatures: 2, generator: new Generator() }),
      );

    it('changes neither weights nor state nor average, and counts as none', () => {
      using layer = made();
      using adam = new AdamW(layer, { lr: 0.1 });
      using ema = new Ema(layer);
      const take = (foundInf: number): void => {
        mean(layer.forward(ones([1, 2], { device }))).backward();
        adam.step({ foundInf: tensor(foundInf, { device }) });
        ema.update({ decay: 0.5, foundInf: tensor(foundInf, { device }) });
        adam.zeroGrad();
      };
      take(0);
      const all = (): number[][] =>
        [...layer.stateDict().values(), ...adam.state().values(), ...ema.state().values()].map(
          (x) => x.toArray(),
        );
      const before = all();
      take(1);
      assert.deepEqual(all(), before);
      take(0);
      assert.notDeepEqual(all(), before);
    });

    it('takes the step of an optimizer that was not asked to decide', () => {
      const weights = [false, true].map((asked) => {
        using layer = made();
        using adam = new AdamW(layer, { lr: 0.1 });
        using ema = new Ema(layer);
        for (let step = 0; step < 3; step++) {
          mean(layer.forward(ones([1, 2], { device }))).backward();
          const foundInf = asked ? tensor(0, { device }) : undefined;
          adam.step({ foundInf });
          ema.update({ decay: 0.9, foundInf });
          adam.zeroGrad();
        }
        return [...layer.stateDict().values(), ...ema.state().values()].map((x) => x.toArray());
      });
      assert.deepEqual(weights[1], weights[0]);
    });

    it('is refused by optimizers that cannot', () => {
      using layer = made();
      using lion = new Lion(layer);
      assert.throws(
        () => {
          lion.step({ foundInf: tensor(0, { device }) });
        },
        { name: 'TorchError', message: /cannot leave a step out on the device/ },
      );
    });
  });

  describe(`clipping on ${device}`, () => {
    it('without waiting equals clipping with it', () => {
      const clipped = [1, 0.1].map((max) =>
        [clipGradNorm, clipGradNormOnDevice].map((clip) => {
          const x = ones([4], { device });
          x.requiresGrad = true;
          x.grad = tensor([0.1, -0.2, 0.3, 0.4], { device });
          takeEmulatedCounters();
          const norm = clip([x], max);
          const { synchronizations } = takeEmulatedCounters();
          if (device !== 'cpu') assert.equal(synchronizations, clip === clipGradNorm ? 1 : 0);
          return [typeof norm === 'number' ? norm : norm.item(), ...x.grad.toArray()];
        }),
      );
      for (const [waiting = [], other = []] of clipped) {
        for (const [i, value] of waiting.entries()) {
          assert.ok(Math.abs(value - at(other, i)) <= 1e-6 * Math.abs(value));
        }
      }
    });
  });
}
