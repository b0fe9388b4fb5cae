/**
 * SLIP, with a head that suits a tower of width 256.
 *
 *     node recipes/strategies.js --data photos --photos DIR --samples 24000 --recipe slip
 *
 * Result on photographs at the time of 24,064 samples of clip (docs/strategies.md): class of new
 * photographs, kind of unseen classes; mean ± standard deviation of three seeds.
 * slip: 38.0 ± 0.9 %, 75.2 ± 0.9 % (9216 samples)
 *
 * Result with `--data emoji --samples 14000 --repetitions 2`, the image for a name (R@10) in a seen and
 * an out-of-distribution style:
 * slip: 2.2 ± 0.3 %, 2.1 ± 0.4 % (5504 samples)
 */
export default [
  {
    name: 'slip',
    strategy: 'slip',
    settings: { strategy: { headWidth: 512, headDim: 128 } },
  },
];
