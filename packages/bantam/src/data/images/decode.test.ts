import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { hasJpegDecoder } from '@bantam/torch/image';
import { decodeAny, decodeImage, decodeOrdinary } from './decode.js';

/** An image whose left half is red and whose right half is blue. */
async function halves(width: number, height: number): Promise<Buffer> {
  const blue = {
    create: { width: width / 2, height, channels: 3, background: '#2040c0' },
  } as const;
  return sharp({ create: { width, height, channels: 3, background: '#c03020' } })
    .composite([{ input: blue, left: width / 2, top: 0 }])
    .png()
    .toBuffer();
}

const red = [0xc0, 0x30, 0x20];
const blue = [0x20, 0x40, 0xc0];

/** Asserts the color at a pixel, within a tolerance per channel. */
async function assertColor(
  bytes: Uint8Array,
  { x, y, color, within = 0 }: { x: number; y: number; color: number[]; within?: number },
): Promise<void> {
  const { width, height, data } = await decodeImage(bytes);
  assert.equal(data.length, width * height * 3);
  const start = (y * width + x) * 3;
  const found = [...data.subarray(start, start + 3)];
  for (const [channel, value] of found.entries()) {
    assert.ok(
      Math.abs(value - (color[channel] ?? 0)) <= within,
      `${found.join()} is not near ${color.join()}`,
    );
  }
}

describe('decodeImage', () => {
  it('reads RGB unchanged', async () => {
    const png = await halves(40, 20);
    await assertColor(png, { x: 0, y: 0, color: red });
    await assertColor(png, { x: 39, y: 19, color: blue });
  });

  it('turns images upright by their EXIF orientation', async () => {
    const turned = await sharp(await halves(40, 20))
      .jpeg({ quality: 100 })
      .withMetadata({ orientation: 6 })
      .toBuffer();
    const { width, height } = await decodeImage(turned);
    assert.deepEqual([width, height], [20, 40]);
    await assertColor(turned, { x: 10, y: 2, color: red, within: 4 });
    await assertColor(turned, { x: 10, y: 37, color: blue, within: 4 });
  });

  it('converts CMYK, whose gamut lacks strong blues', async () => {
    const cmyk = await sharp(await halves(40, 20))
      .toColorspace('cmyk')
      .jpeg({ quality: 100 })
      .toBuffer();
    assert.equal((await sharp(cmyk).metadata()).channels, 4);
    await assertColor(cmyk, { x: 2, y: 2, color: red, within: 60 });
    await assertColor(cmyk, { x: 37, y: 2, color: blue, within: 60 });
  });

  it('scales 16 bits to 8', async () => {
    const deep = await sharp(await halves(40, 20))
      .toColorspace('rgb16')
      .png()
      .toBuffer();
    assert.equal((await sharp(deep).metadata()).depth, 'ushort');
    await assertColor(deep, { x: 2, y: 2, color: red });
  });

  it('scales 16-bit gray, which PIL clips to white', async () => {
    const levels = Uint16Array.from({ length: 64 }, () => 30_000);
    const deep = await sharp(levels, { raw: { width: 8, height: 8, channels: 1 } })
      .toColorspace('grey16')
      .png()
      .toBuffer();
    assert.equal((await sharp(deep).metadata()).depth, 'ushort');
    const { data } = await decodeImage(deep);
    assert.ok(
      data.every((value) => Math.abs(value - (30_000 * 255) / 65_535) <= 1),
      `${data[0] ?? ''}`,
    );
  });

  it('shows white for transparent colors of a palette, which PIL shows', async () => {
    const clear = { r: 10, g: 200, b: 30, alpha: 0 };
    const image = await sharp({ create: { width: 8, height: 8, channels: 4, background: clear } })
      .png({ palette: true })
      .toBuffer();
    await assertColor(image, { x: 3, y: 3, color: [255, 255, 255] });
  });

  it('repeats gray', async () => {
    const gray = await sharp(Buffer.alloc(64, 77), { raw: { width: 8, height: 8, channels: 1 } })
      .png()
      .toBuffer();
    await assertColor(gray, { x: 3, y: 3, color: [77, 77, 77] });
  });

  it('flattens transparency on white', async () => {
    const half = { r: 0, g: 0, b: 0, alpha: 0.5 };
    const clear = await sharp({ create: { width: 4, height: 4, channels: 4, background: half } })
      .png()
      .toBuffer();
    await assertColor(clear, { x: 1, y: 1, color: [127, 127, 127], within: 1 });
  });

  it('takes the first frame of an animation', async () => {
    const second = await sharp(await halves(40, 20))
      .negate()
      .png()
      .toBuffer();
    const frames = [await halves(40, 20), second];
    const moving = await sharp(frames, { join: { animated: true } })
      .webp({ lossless: true })
      .toBuffer();
    assert.equal((await sharp(moving).metadata()).pages, 2);
    const { width, height } = await decodeImage(moving);
    assert.deepEqual([width, height], [40, 20]);
    await assertColor(moving, { x: 2, y: 2, color: red });
  });

  it('shrinks to a shortest side, and never enlarges', async () => {
    const png = await halves(40, 20);
    const small = await decodeImage(png, { shortestSide: 10 });
    assert.deepEqual([small.width, small.height], [20, 10]);
    assert.equal((await decodeImage(png, { shortestSide: 100 })).width, 40);
  });

  it('refuses what is truncated, empty or no image', async () => {
    const photograph = await readFile(
      new URL('../../../fixtures/data/coffee.jpg', import.meta.url),
    );
    const png = await sharp(photograph).png().toBuffer();
    const webp = await sharp(photograph).webp().toBuffer();
    const refusal = { name: 'BantamError', message: /^The image cannot be decoded \(.+\)\.$/ };
    for (const bytes of [photograph, png, webp]) {
      await assert.rejects(decodeImage(bytes.subarray(0, bytes.length / 2)), refusal);
    }
    await assert.rejects(decodeImage(photograph.subarray(0, photograph.length - 500)), refusal);
    await assert.rejects(decodeImage(new Uint8Array(0)), refusal);
    await assert.rejects(decodeImage(Buffer.from('no image')), refusal);
  });
});

describe('decodeImage of a file that claims to be huge', () => {
  /** A small PNG file with other sides in its header. */
  async function claiming(width: number, height: number): Promise<Buffer> {
    const png = await halves(40, 20);
    png.writeUInt32BE(width, 16);
    png.writeUInt32BE(height, 20);
    png.writeUInt32BE(crc32(png.subarray(12, 29)), 29);
    return png;
  }

  it('refuses it at once, by its sides and by its pixels', async () => {
    for (const [width, height] of [
      [8_388_648, 30],
      [30, 70_000],
      [16_000, 16_000],
    ] as const) {
      await assert.rejects(decodeImage(await claiming(width, height)), {
        name: 'BantamError',
        message: new RegExp(`has ${width} × ${height} pixels; shrink it`),
      });
    }
  });
});

describe('decodeImage of several large images at once', () => {
  it('holds two of them at most', () => {
    // 192 MB each as pixels: four at once would take 770 MB.
    const script = `
      import sharp from 'sharp';
      import { decodeImage } from '${new URL('./decode.js', import.meta.url).href}';
      const create = { width: 8000, height: 8000, channels: 3, background: 'white' };
      const bytes = await sharp({ create }).png({ palette: true, colours: 2 }).toBuffer();
      const widths = [1, 2, 3, 4].map(async () => (await decodeImage(bytes)).width);
      console.log(String(await Promise.all(widths)), process.resourceUsage().maxRSS < 650_000);`;
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      timeout: 60_000,
      encoding: 'utf8',
      cwd: fileURLToPath(new URL('.', import.meta.url)),
    });
    assert.equal(stdout, '8000,8000,8000,8000 true\n');
  });
});

describe('decodeOrdinary', () => {
  const photograph = readFile(new URL('../../../fixtures/data/coffee.jpg', import.meta.url));
  const skip = !hasJpegDecoder;

  it('gives the bytes of the general decoder', { skip }, async () => {
    const kinds = [
      await photograph,
      await sharp(await photograph)
        .jpeg({ progressive: true })
        .toBuffer(),
      await sharp(await photograph)
        .jpeg({ chromaSubsampling: '4:4:4' })
        .toBuffer(),
      await sharp(await photograph)
        .greyscale()
        .jpeg()
        .toBuffer(),
      await sharp(await photograph)
        .resize(31, 17)
        .withMetadata({ orientation: 1 })
        .jpeg()
        .toBuffer(),
    ];
    for (const bytes of kinds) {
      const { width, height, data } = decodeOrdinary(bytes) ?? assert.fail('not decoded');
      const general = await decodeAny(bytes);
      assert.deepEqual([width, height], [general.width, general.height]);
      assert.ok(Buffer.compare(data, general.data) === 0);
    }
  });

  it(
    'shrinks to the size of the general decoder, and to much the same image',
    { skip },
    async () => {
      for (const shortestSide of [30, 75, 76, 149, 150, 151]) {
        const { width, height, data } =
          decodeOrdinary(await photograph, { shortestSide }) ?? assert.fail('not decoded');
        const general = await decodeAny(await photograph, { shortestSide });
        assert.deepEqual([width, height], [general.width, general.height]);
        assert.ok(Math.min(width, height) >= shortestSide && Math.min(width, height) <= 300);
        const gap = data.reduce(
          (sum, value, i) => sum + Math.abs(value - (general.data[i] ?? 0)),
          0,
        );
        // An average of 8 × 8 pixels is a little softer than the other filter; other images are 50 off.
        assert.ok(gap / data.length < 12, `${shortestSide}: ${gap / data.length}`);
      }
    },
  );

  it('leaves turned, damaged and CMYK images to the general decoder', async () => {
    const bytes = await photograph;
    const turned = await sharp(bytes).withMetadata({ orientation: 6 }).jpeg().toBuffer();
    const cmyk = await sharp(bytes).toColorspace('cmyk').jpeg().toBuffer();
    const spoilt = Buffer.from(bytes);
    spoilt.fill(0xff, bytes.length / 2, bytes.length / 2 + 40);
    for (const other of [turned, cmyk, spoilt, bytes.subarray(0, bytes.length / 2)]) {
      assert.equal(decodeOrdinary(other), undefined);
    }
  });
});
