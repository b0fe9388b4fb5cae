/**
 * Compares the planned memory of a training with what it takes, and trains on the device for some steps.
 * Prints JSON.
 *
 *     node scripts/check-device/memory.js DEVICE PRESET BATCH FOLDER
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { at, deviceMemory, isAccelerator, resetDevicePeak, resolveDevice } from '@bantam/torch';
import { planRun, readMetrics, train } from 'bantam';
import sharp from 'sharp';

/** Planned over taken memory. */
const RATIO = { least: 0.9, most: 1.3 };
const STEPS = 6;

const [name = 'auto', model, size, folder = '.'] = process.argv.slice(2);
const device = resolveDevice(name);
const batchSize = Number(size);

/** As many plain images as a batch has, in four classes. */
async function writeImages() {
  const colors = ['red', 'green', 'blue', 'white'];
  for (const [i, background] of colors.entries()) {
    mkdirSync(join(folder, 'images', background), { recursive: true });
    for (let k = i; k < batchSize; k += colors.length) {
      const image = sharp({ create: { width: 64 + (k % 7), height: 64, channels: 3, background } });
      await image.png().toFile(join(folder, 'images', background, `${k}.png`));
    }
  }
}

await writeImages();
const out = join(folder, 'run');
const options = {
  ...{ model, data: `folder:${join(folder, 'images')}`, out, device },
  budget: `${STEPS * batchSize}samples`,
  tokenizer: { vocabSize: 600 },
  validation: { data: 'none' },
  train: { batchSize, workers: 2 },
};
const { memory } = await planRun(options);
const onDevice = isAccelerator(device);
if (onDevice) resetDevicePeak(device);
const before = onDevice ? deviceMemory(device).allocated : 0;
await train(options);
const taken = onDevice ? deviceMemory(device).peak - before : process.resourceUsage().maxRSS * 1024;
const planned = onDevice ? memory.onDevice : memory.total;
const ratio = planned / taken;
const rows = readMetrics(out);
const passed = !onDevice || (ratio >= RATIO.least && ratio <= RATIO.most);
console.log(
  JSON.stringify({
    ...{ device, passed, model, batchSize, planned, taken, ratio, limits: RATIO },
    statistics: onDevice ? deviceMemory(device) : null,
    // The first step makes the optimizer's moments.
    samplesPerSecond: at(rows, -1).samplesPerSecond,
    losses: rows.map(({ loss }) => loss),
  }),
);
process.exitCode = passed ? 0 : 1;
