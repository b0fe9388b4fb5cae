/**
 * CLIP with strong augmentation of the images, the three lists of Scaling (Down) CLIP.
 *
 *     node recipes/strategies.js --data photos --photos DIR --samples 24000 --recipe clip-da
 *
 * Result on photographs at the time of 24,064 samples of clip (docs/strategies.md): class of new
 * photographs, kind of unseen classes; mean ± standard deviation of three seeds.
 * clip-da, crop & flip: 40.8 ± 1.2 %, 77.1 ± 2.5 % (24192 samples)
 * clip-da, RandAugment: 37.1 ± 0.9 %, 76.9 ± 1.0 % (24192 samples)
 * clip-da, stacked RandAugment: 33.7 ± 2.1 %, 70.7 ± 1.5 % (23680 samples)
 *
 * Result with `--data emoji --samples 14000 --repetitions 2`, the image for a name (R@10) in a seen and
 * an out-of-distribution style:
 * clip-da, crop & flip: 8.7 ± 0.8 %, 7.5 ± 1.2 % (14208 samples)
 * clip-da, RandAugment: 5.8 ± 0.9 %, 5.3 ± 0.8 % (14336 samples)
 * clip-da, stacked RandAugment: 1.8 ± 0.0 %, 1.6 ± 0.2 % (12416 samples)
 */
export default [
  {
    name: 'clip-da, crop & flip',
    strategy: 'clip-da',
    settings: { strategy: { augmentation: 'crop-flip' } },
  },
  {
    name: 'clip-da, RandAugment',
    strategy: 'clip-da',
    settings: { strategy: { augmentation: 'rand-augment' } },
  },
  { name: 'clip-da, stacked RandAugment', strategy: 'clip-da', settings: {} },
];
