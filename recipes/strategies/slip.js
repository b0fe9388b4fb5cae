/**
 * SLIP, with a head that suits a tower of width 256.
 *
 *     node recipes/strategies.js --data emoji --recipe slip
 *
 * RESULT
 */
export default [
  {
    name: 'slip',
    strategy: 'slip',
    settings: { 'strategy.headWidth': '512', 'strategy.headDim': '128' },
  },
];
