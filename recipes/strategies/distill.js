/**
 * Distillation: a student like the clip run's model learns from that model, with the same seed, which
 * has to be there (the table's cost does not hold it).
 *
 *     node recipes/strategies.js --data photos --photos DIR --samples 24000 --recipe distill --recipe clip
 *
 * No result was recorded yet.
 */
export default [
  { name: 'distill, taught by the clip run', strategy: 'distill', settings: {}, taught: true },
];
