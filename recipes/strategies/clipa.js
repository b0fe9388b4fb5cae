/**
 * CLIPA: images of half the size and captions of eight tokens for nine tenths of the budget, then
 * full size.
 *
 *     node recipes/strategies.js --data photos --photos DIR --samples 24000 --recipe clipa
 *
 * Result on photographs at the time of 24,064 samples of clip (docs/strategies.md): class of new
 * photographs, kind of unseen classes; mean ± standard deviation of three seeds.
 * clipa: 45.9 ± 0.3 %, 82.5 ± 0.6 % (41600 samples)
 *
 * Result with `--data emoji --samples 14000 --repetitions 2`, the image for a name (R@10) in a seen and
 * an out-of-distribution style:
 * clipa: 8.7 ± 0.0 %, 7.7 ± 0.6 % (25600 samples)
 */
export default [{ name: 'clipa', strategy: 'clipa', settings: {} }];
