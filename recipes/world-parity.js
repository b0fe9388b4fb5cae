/**
 * Parity of several processes with one: every strategy trains twenty steps of seven samples with 1, 2, 3 and 4
 * processes, in fp64 and fp32, on 23 images with captions of unequal lengths. Prints the largest relative
 * differences to one process: of the losses of all steps, of the gradients of every parameter in every step, and
 * of the weights after the last one. (`train.beta1` is 0, so that AdamW's first moment in the checkpoint of each
 * step is the gradient, clipped.) In fp64 a gradient is relative to the largest number of its parameter, or 10⁻³ of
 * the largest of all; in fp32 to the largest of all, beside what one process in fp32 is away from one in fp64.
 * Exit status 1 if a difference is above 1e-6 in fp64, or in fp32 above 1e-5 or, for gradients in all steps but one,
 * five times that rounding. `--each` prints every number of processes, where 1 takes the way of several. It takes
 * a quarter of an hour.
 *
 *     node recipes/world-parity.js [--steps 20] [--each] [--only clip]…
 */
import './shared/one-sentence.js';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { setThreads } from '@bantam/torch';
import { train } from 'bantam';
import {
  distanceOf,
  sharedOptions,
  sharedTrainings,
} from '../packages/bantam/dist/test-support/shared-trainings.js';
import { writeTextures } from '../packages/bantam/dist/test-support/textures.js';
import { TinyRuns } from '../packages/bantam/dist/test-support/tiny-runs.js';
import { trainTogether } from '../packages/bantam/dist/test-support/train-together.js';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '20' },
    each: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
  },
});
const steps = Number(values.steps);
const measures = {
  fp64: ['loss', 'ownGradient', 'weight'],
  fp32: ['loss', 'gradient', 'gradientButOne', 'weight'],
};
const precisions = Object.keys(measures);
const sizes = [1, 2, 3, 4];
const names = Object.keys(sharedTrainings('')).filter(
  (name) => values.only?.includes(name) ?? true,
);

/** Captions of one to ten words, some of them alike. */
async function writeData(folder, images) {
  mkdirSync(folder, { recursive: true });
  await writeTextures(folder, images);
  const words = 'a smooth wave of soft colors over the whole image'.split(' ');
  const rows = Array.from({ length: images }, (_, i) => {
    return `${i}.jpg,${i % 5 === 4 ? 'the same' : words.slice(0, 1 + (i % 10)).join(' ')}`;
  });
  writeFileSync(`${folder}/data.csv`, ['image,caption', ...rows].join('\n'));
  return `csv:${folder}/data.csv`;
}

/** The bounds of a training's differences; `rounding` is how far one process in fp32 is away from one in fp64. */
function boundsOf(rounding) {
  return {
    fp64: { loss: 1e-6, ownGradient: 1e-6, weight: 1e-6 },
    fp32: { loss: 1e-5, gradientButOne: Math.max(1e-5, 5 * rounding), weight: 1e-5 },
  };
}

function text(value) {
  return value === 0 ? '0' : value.toExponential(1);
}

const runs = new TinyRuns();
await runs.make();
let isParity = true;
try {
  setThreads(1);
  const data = await writeData(runs.path('data'), 23);
  await runs.train('teacher', { budget: '48samples', data });
  const trainings = names.flatMap((name) => precisions.map((precision) => ({ name, precision })));
  const optionsOf = (folder, { name, precision }) => {
    const settings = { beta1: 0, precision, checkpointMinutes: 1e-9, keepCheckpoints: steps };
    const options = { folder: `${folder}-${precision}`, name, steps, train: settings };
    return sharedOptions(runs, { ...options, changes: { data } });
  };
  for (const training of trainings) await train({ ...optionsOf('one', training), device: 'cpu' });
  for (const size of sizes) {
    const tasks = trainings.map((training) => ({ options: optionsOf(size, training) }));
    for (const { code, stderr } of await trainTogether(size, tasks, 3600)) {
      if (code !== 0) throw new Error(`A process of ${size} failed: ${stderr}`);
    }
    process.stderr.write(`${size} of ${sizes.at(-1)} processes have trained\n`);
  }
  const columns = precisions.flatMap((precision) =>
    measures[precision].map((what) => `${precision}: ${what}`),
  );
  console.log(`| training | processes | ${columns.join(' | ')} | rounding of fp32: gradient |`);
  console.log(`| -------- | --------: | ${columns.map(() => '--:').join(' | ')} | --: |`);
  for (const name of names) {
    const [wide, narrow] = precisions.map((precision) => optionsOf('one', { name, precision }).out);
    const rounding = distanceOf(narrow, wide).gradient;
    const found = sizes.map((size) =>
      precisions.map((precision) => {
        const training = { name, precision };
        return distanceOf(optionsOf(size, training).out, optionsOf('one', training).out);
      }),
    );
    const rows = values.each ? found.map((one, i) => [sizes[i], [one]]) : [['1 to 4', found]];
    for (const [size, some] of rows) {
      const cells = precisions.flatMap((precision, i) =>
        measures[precision].map((what) => text(Math.max(...some.map((one) => one[i][what])))),
      );
      console.log(`| ${[name, size, ...cells, text(rounding)].join(' | ')} |`);
    }
    const bounds = boundsOf(rounding);
    for (const [i, precision] of precisions.entries()) {
      for (const [what, bound] of Object.entries(bounds[precision])) {
        const most = Math.max(...found.map((one) => one[i][what]));
        if (most <= bound) continue;
        isParity = false;
        console.error(`${name} in ${precision}: ${what} ${text(most)} is above ${text(bound)}.`);
      }
    }
  }
} finally {
  rmSync(runs.path(), { recursive: true, force: true });
}
process.exitCode = isParity ? 0 : 1;
