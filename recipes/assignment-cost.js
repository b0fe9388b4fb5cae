/**
 * Cost of `--set strategy.negatives=assignment`, the choice of negatives by the one-to-one
 * assignment of the greatest similarity between the images and texts of a batch. Random features of
 * width 64; CPU time, the median of nine. It takes seconds.
 *
 *     node recipes/assignment-cost.js
 */
import { Generator, normalize, randn, scope } from '@bantam/torch';
import { hardNegatives } from 'bantam/experimental';

console.log('| pairs | milliseconds |');
console.log('| ----: | -----------: |');
for (const pairs of [128, 256, 512, 1024]) {
  const times = Array.from({ length: 9 }, (_, seed) =>
    scope(() => {
      const features = (stream) =>
        normalize(randn([pairs, 64], new Generator({ seed: 2 * seed + stream })));
      const [image, text] = [features(0), features(1)];
      const start = process.cpuUsage();
      hardNegatives({ image, text }, { choice: 'assignment' });
      const { user, system } = process.cpuUsage(start);
      return (user + system) / 1000;
    }),
  );
  const median = times.sort((a, b) => a - b)[4];
  console.log(`| ${pairs} | ${median.toFixed(1)} |`);
}
