/**
 * CLIP, and CLIP with equal captions as positives: the emoji's captions differ within an epoch, but
 * templates over few classes repeat.
 *
 *     node recipes/strategies.js --data emoji --recipe clip
 *
 * RESULT
 */
export default [
  { name: 'clip', strategy: 'clip', settings: {} },
  {
    name: 'clip, same caption positive',
    strategy: 'clip',
    settings: { 'strategy.duplicates': 'positives' },
  },
];
