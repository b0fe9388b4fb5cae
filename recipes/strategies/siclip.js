/**
 * SiCLIP's losses: pair matching beside the contrastive loss alone, by both choices of negatives, and
 * with distillation from the clip run's model with the same seed, which has to be there (the table's
 * cost does not hold it).
 *
 *     node recipes/strategies.js --data photos --photos DIR --samples 24000 --recipe siclip --recipe clip
 *
 * No result was recorded yet.
 */
const untaught = { feature: 0, relation: 0, interactive: 0 };

export default [
  { name: 'clip, pair matching', strategy: 'siclip', settings: { strategy: untaught } },
  {
    name: 'clip, pair matching one to one',
    strategy: 'siclip',
    settings: { strategy: { ...untaught, negatives: 'assignment' } },
  },
  { name: 'siclip, taught by the clip run', strategy: 'siclip', settings: {}, taught: true },
];
