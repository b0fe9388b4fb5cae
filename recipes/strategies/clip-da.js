/**
 * CLIP with strong augmentation of the pictures, the three lists of Scaling (Down) CLIP.
 *
 *     node recipes/strategies.js --data photos --photos DIR --samples 24000 --recipe clip-da
 *
 * Result on photographs at the time of 24,064 samples of clip (docs/strategies.md): class of new
 * photographs, kind of unseen classes; mean ± standard deviation of three seeds.
 * clip-da, crop & flip: 40.8 ± 1.2 %, 77.1 ± 2.5 % (24192 samples)
 * clip-da, RandAugment: 37.1 ± 0.9 %, 76.9 ± 1.0 % (24192 samples)
 * clip-da, stacked RandAugment: 33.7 ± 2.1 %, 70.7 ± 1.5 % (23680 samples)
 */
export default [
  {
    name: 'clip-da, crop & flip',
    strategy: 'clip-da',
    settings: { 'strategy.augmentation': 'crop-flip' },
  },
  {
    name: 'clip-da, RandAugment',
    strategy: 'clip-da',
    settings: { 'strategy.augmentation': 'rand-augment' },
  },
  { name: 'clip-da, stacked RandAugment', strategy: 'clip-da', settings: {} },
];
