/**
 * CLIP with strong augmentation of the pictures, the three lists of Scaling (Down) CLIP.
 *
 *     node recipes/strategies.js --data emoji --recipe clip-da
 *
 * RESULT
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
