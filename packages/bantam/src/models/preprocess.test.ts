import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BantamError } from '../base/errors.js';
import {
  channelStatistics,
  fromOpenClipPreprocess,
  preprocessFor,
  toOpenClipPreprocess,
} from './preprocess.js';

describe('preprocess_cfg', () => {
  it('is read back as it was written', () => {
    const preprocess = preprocessFor(64, {
      ...channelStatistics.inception,
      interpolation: 'bilinear',
      resizeMode: 'squash',
    });
    assert.deepEqual(fromOpenClipPreprocess(toOpenClipPreprocess(preprocess), 224), preprocess);
  });

  it('has the defaults of OpenCLIP', () => {
    assert.deepEqual(fromOpenClipPreprocess({}, 96), preprocessFor(96));
    assert.deepEqual(fromOpenClipPreprocess(undefined, 96), preprocessFor(96));
  });

  it('may give the size as a pair', () => {
    assert.equal(fromOpenClipPreprocess({ size: [256, 256] }, 224).size, 256);
  });

  it('is refused if Bantam lacks what it asks for', () => {
    const unusable: [object, RegExp][] = [
      [{ size: [256, 128] }, /"size" .*\[256,128\]/],
      [{ mean: [0.5] }, /"mean" .* three numbers/],
      [{ interpolation: 'random' }, /"interpolation" .* bicubic or bilinear/],
      [{ resize_mode: 'longest' }, /"resize_mode" .* shortest or squash/],
    ];
    for (const [config, message] of unusable) {
      assert.throws(
        () => fromOpenClipPreprocess(config, 224),
        (error) => error instanceof BantamError && message.test(error.message),
      );
    }
    assert.throws(() => toOpenClipPreprocess(preprocessFor(64, { antialias: false })), BantamError);
  });
});
