/**
 * FLIP: half of the patches for nine tenths of the budget, then all.
 *
 *     node recipes/strategies.js --data photos --photos DIR --samples 24000 --recipe flip
 *
 * Result on photographs at the time of 24,064 samples of clip (docs/strategies.md): class of new
 * photographs, kind of unseen classes; mean ± standard deviation of three seeds.
 * flip: 45.5 ± 0.8 %, 81.2 ± 0.1 % (32128 samples)
 *
 * Result with `--data emoji --samples 14000 --repetitions 2`, the image for a name (R@10) in a seen and
 * an out-of-distribution style:
 * flip: 7.2 ± 1.1 %, 6.3 ± 0.6 % (18944 samples)
 */
export default [{ name: 'flip', strategy: 'flip', settings: {} }];
