import assert from 'node:assert/strict';
import { it } from 'node:test';
import { decodeImage } from 'bantam/experimental';
import sharp from 'sharp';
import { onWhite } from './decode.js';

it('onWhite equals the way in which Bantam puts transparent pixels on white', async () => {
  const rgba = new Uint8ClampedArray(256 * 256 * 4);
  for (let i = 0; i < 256 * 256; i++) {
    rgba.set([i & 255, 255 - (i & 255), (i * 7) & 255, i >> 8], i * 4);
  }
  const raw = { width: 256, height: 256, channels: 4 } as const;
  const png = await sharp(new Uint8Array(rgba), { raw }).png().toBuffer();
  const { data } = await decodeImage(png);
  assert.deepEqual(onWhite(rgba), data);
});
