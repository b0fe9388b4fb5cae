/**
 * LiT: the text tower alone, anew, for the image tower of the clip run with the same seed, which has
 * to be there (the table's cost does not hold it).
 *
 *     node recipes/strategies.js --data photos --photos DIR --samples 24000 --recipe lit --recipe clip
 *
 * Result on photographs at the time of 24,064 samples of clip (docs/strategies.md): class of new
 * photographs, kind of unseen classes; mean ± standard deviation of three seeds.
 * lit, tower of the clip run: 47.1 ± 0.9 %, 70.8 ± 17.0 % (114304 samples)
 *
 * Result with `--data emoji --samples 14000 --repetitions 2`, the image for a name (R@10) in a seen and
 * an out-of-distribution style:
 * lit, tower of the clip run: 26.9 ± 2.5 %, 22.2 ± 1.5 % (84736 samples)
 */
export default [{ name: 'lit, tower of the clip run', strategy: 'lit', settings: {} }];
