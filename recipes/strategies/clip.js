/**
 * CLIP, and CLIP with equal captions as positives: the emoji's captions differ within an epoch, but
 * templates over few classes repeat.
 *
 *     node recipes/strategies.js --data photos --photos DIR --samples 24000 --recipe clip
 *
 * Result on photographs at the time of 24,064 samples of clip (docs/strategies.md): class of new
 * photographs, kind of unseen classes; mean ± standard deviation of three seeds.
 * clip: 45.1 ± 0.4 %, 80.9 ± 1.3 % (24064 samples)
 * clip, same caption positive: 45.2 ± 0.9 %, 80.5 ± 0.9 % (23808 samples)
 *
 * Result with `--data emoji --samples 14000 --repetitions 2`, the image for a name (R@10) in a seen and
 * an out-of-distribution style:
 * clip: 5.2 ± 0.5 %, 4.3 ± 0.7 % (13952 samples)
 * clip, same caption positive: 4.6 ± 0.7 %, 4.2 ± 0.7 % (13184 samples)
 */
export default [
  { name: 'clip', strategy: 'clip', settings: {} },
  {
    name: 'clip, same caption positive',
    strategy: 'clip',
    settings: { 'strategy.loss.duplicates': 'positives' },
  },
];
