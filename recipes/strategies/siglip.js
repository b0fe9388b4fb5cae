/**
 * SigLIP: CLIP with the sigmoid loss, from the paper's bias of -10.
 *
 *     node recipes/strategies.js --data photos --photos DIR --samples 24000 --recipe siglip
 *
 * Result on photographs at the time of 24,064 samples of clip (docs/strategies.md): class of new
 * photographs, kind of unseen classes; mean ± standard deviation of three seeds.
 * siglip: 39.8 ± 1.7 %, 77.2 ± 1.3 % (23040 samples)
 *
 * Result with `--data emoji --samples 14000 --repetitions 2`, the image for a name (R@10) in a seen and
 * an out-of-distribution style:
 * siglip: 1.1 ± 0.3 %, 1.3 ± 0.2 % (13184 samples)
 */
export default [{ name: 'siglip', strategy: 'siglip', settings: {} }];
